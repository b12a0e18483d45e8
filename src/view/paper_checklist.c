/* paper_checklist: what reporting guidelines ask, in short words of our own, and what the records
 * answer.
 *
 *   A  answered from records    H  a draft from records, to be completed    M  for the authors
 *   alone
 *
 * An item whose record is missing falls to M, and says so. Guidelines: TRIPOD-LLM (Nat Med
 * 2025;31:60), MI-CLEAR-LLM 2025 (Korean J Radiol 2025;26:1123), REFINE (Diagn Interv Radiol
 * 2026). Their official forms must be filled in as well. The last note of the table says what the
 * numbers of items were compared with. */
#include "view/flow.h"
#include "view/paper_in.h"
#include "view/texts.h"

typedef enum answer {
    BY_AUTHORS,
    TITLE,
    SPLITS,
    MODEL,
    SETTINGS,
    RAW_OUTPUT,
    SCORING,
    THRESHOLD,
    OUTCOME,
    COMPARISONS,
    PROMPTS,
    PROMPT_TUNING,
    COMPUTE,
    FLOW,
    CHARACTERISTICS,
    CASES,
    PERFORMANCE,
    LIMITS,
    BUNDLE,
    ACCESS,
    INPUT,
    TUNING,
    RANDOMNESS,
    SUBGROUPS,
    WORDINGS,
    CALIBRATION,
    ERRORS,
    DATES,
} answer;

static const struct {
    const char *guideline, *item, *asks;
    answer answer;
} items[] = {
    {"TRIPOD-LLM", "1", "name the kind of study, task, population, outcome", TITLE},
    {"TRIPOD-LLM", "2", "data and splits, model and version, evaluation, results (abstract: 2a-2l)",
     PERFORMANCE},
    {"TRIPOD-LLM", "3a-b, 4", "context of care, intended users, objectives", BY_AUTHORS},
    {"TRIPOD-LLM", "5a", "where the data of each use come from", BY_AUTHORS},
    {"TRIPOD-LLM", "5b", "the data in numbers", CHARACTERISTICS},
    {"TRIPOD-LLM", "5c", "oldest and newest text of each split", DATES},
    {"TRIPOD-LLM", "5d", "preparation and checks of the data", INPUT},
    {"TRIPOD-LLM", "5e", "missing data, imbalance, omissions with reasons", FLOW},
    {"TRIPOD-LLM", "6a", "model, version, end of its training data", MODEL},
    {"TRIPOD-LLM", "6b", "how the model is built; training, fine-tuning", TUNING},
    {"TRIPOD-LLM", "6c", "how answers were made: prompts, settings, seed, lengths", SETTINGS},
    {"TRIPOD-LLM", "6d", "raw output and what was made of it", RAW_OUTPUT},
    {"TRIPOD-LLM", "6e", "where probabilities and thresholds come from", THRESHOLD},
    {"TRIPOD-LLM", "7a", "quality of generated text", RAW_OUTPUT},
    {"TRIPOD-LLM", "7b", "what the measures mean for the use", BY_AUTHORS},
    {"TRIPOD-LLM", "7c", "outcome, how predictions were computed, measures", OUTCOME},
    {"TRIPOD-LLM", "7d", "who judged, by which instructions, how well they agreed", BY_AUTHORS},
    {"TRIPOD-LLM", "7e", "comparison with other models, people, standards", COMPARISONS},
    {"TRIPOD-LLM", "8a-c", "how labels were made and by whom", BY_AUTHORS},
    {"TRIPOD-LLM", "9a", "how prompts were written and chosen", PROMPT_TUNING},
    {"TRIPOD-LLM", "9b", "data that prompts were developed on", PROMPT_TUNING},
    {"TRIPOD-LLM", "11", "instruction tuning", TUNING},
    {"TRIPOD-LLM", "12", "hardware and time", COMPUTE},
    {"TRIPOD-LLM", "13, 14a-b", "ethics, funding, conflicts", BY_AUTHORS},
    {"TRIPOD-LLM", "14c-d", "protocol and registration", BY_AUTHORS},
    {"TRIPOD-LLM", "14e-f", "availability of data and code", BUNDLE},
    {"TRIPOD-LLM", "15", "involvement of patients", BY_AUTHORS},
    {"TRIPOD-LLM", "16a", "flow of texts and patients", FLOW},
    {"TRIPOD-LLM", "16b-c", "characteristics of each split, compared", CHARACTERISTICS},
    {"TRIPOD-LLM", "16d", "cases and events of each analysis", CASES},
    {"TRIPOD-LLM", "17", "performance by the stated measures", PERFORMANCE},
    {"TRIPOD-LLM", "18", "updates of the model", TUNING},
    {"TRIPOD-LLM", "19a-g", "interpretation, limits, use", LIMITS},
    {"MI-CLEAR-LLM", "1", "model: name, version, maker, dates", MODEL},
    {"MI-CLEAR-LLM", "2", "access: how the model was reached", ACCESS},
    {"MI-CLEAR-LLM", "3", "input: what was given to the model, cuts included", INPUT},
    {"MI-CLEAR-LLM", "4", "adaptation: tuning or retrieval", TUNING},
    {"MI-CLEAR-LLM", "5", "prompts: how written and improved", PROMPT_TUNING},
    {"MI-CLEAR-LLM", "5, 6", "prompts: exact words, one case a session?", PROMPTS},
    {"MI-CLEAR-LLM", "7", "randomness: settings, repeats, their spread", RANDOMNESS},
    {"MI-CLEAR-LLM", "8", "test data unseen in making model and prompts", SPLITS},
    {"REFINE", "1.1", "model: name, maker, version, dates", MODEL},
    {"REFINE", "1.2", "architecture and size", MODEL},
    {"REFINE", "1.3", "training, adaptation", TUNING},
    {"REFINE", "1.4", "kinds of input and output, longest input", SETTINGS},
    {"REFINE", "1.5", "languages", BY_AUTHORS},
    {"REFINE", "1.6", "how the model was reached", ACCESS},
    {"REFINE", "1.7", "sharing of code, data, model", BUNDLE},
    {"REFINE", "1.8", "hardware and time", COMPUTE},
    {"REFINE", "2.1", "how prompts were written, their versions", PROMPT_TUNING},
    {"REFINE", "2.2", "ways of asking, their form and length", WORDINGS},
    {"REFINE", "2.3", "exact prompts", PROMPTS},
    {"REFINE", "2.4", "clinical context given", BY_AUTHORS},
    {"REFINE", "2.5", "one question or a conversation; memory", ACCESS},
    {"REFINE", "2.6", "how output was controlled and read", RAW_OUTPUT},
    {"REFINE", "3.1", "settings of generation", SETTINGS},
    {"REFINE", "3.2", "who prompted, how many attempts", BY_AUTHORS},
    {"REFINE", "3.3", "which output was taken", SCORING},
    {"REFINE", "4.1", "data: name, version, licence", SPLITS},
    {"REFINE", "4.2-4.5", "origin, ethics, earlier use, real or synthetic", BY_AUTHORS},
    {"REFINE", "4.6", "characteristics of the sample", CHARACTERISTICS},
    {"REFINE", "4.7", "reference standard, annotators", BY_AUTHORS},
    {"REFINE", "4.8", "preparation of the data", INPUT},
    {"REFINE", "4.9", "missing data and exclusions", FLOW},
    {"REFINE", "4.10", "separation of training and testing", SPLITS},
    {"REFINE", "5.1", "measures", CALIBRATION},
    {"REFINE", "5.2", "human evaluators", BY_AUTHORS},
    {"REFINE", "5.3", "statistical methods", COMPARISONS},
    {"REFINE", "5.4", "performance by subgroup", SUBGROUPS},
    {"REFINE", "5.5", "kinds of errors", ERRORS},
    {"REFINE", "5.6", "same result on rerun, spread of repeats", RANDOMNESS},
    {"REFINE", "5.7", "what each way of asking changes", WORDINGS},
    {"REFINE", "5.8-5.9", "versions over time, explanations", BY_AUTHORS},
    {"REFINE", "5.10", "comparison with clinical standards", COMPARISONS},
    {"REFINE", "6.1-6.3", "intended use, workflow, added value", BY_AUTHORS},
    {"REFINE", "6.4", "limits, uses to avoid", LIMITS},
    {"REFINE", "6.5", "tests of safety", BY_AUTHORS},
    {"REFINE", "6.6", "security and privacy of data", ACCESS},
    {"REFINE", "6.7", "governance, audit", BY_AUTHORS},
};

static const char *fact(const paper *p, const char *key) { return gather_fact(p->v->g, key); }

static bool has(const paper *p, const char *key) { return fact(p, key)[0] != 0; }

static void say_fact(const paper *p, buf *b, const char *name, const char *key)
{
    if (has(p, key)) buf_printf(b, "%s%s %s", b->size ? "; " : "", name, fact(p, key));
}

static char say_model(const paper *p, buf *b)
{
    say_fact(p, b, "", "model_name");
    say_fact(p, b, "family", "model_family");
    say_fact(p, b, "format", "model_format");
    say_fact(p, b, "parameters", "model_parameters");
    say_fact(p, b, "licence", "model_licence");
    say_fact(p, b, "SHA-256", "model_sha256");
    say_fact(p, b, "first run", "started");
    say_fact(p, b, "last run", "ended");
    if (b->size == 0) return 'M';
    buf_add_text(b, ". To add: the maker's date of release and the end of the training data");
    return 'H';
}

static char say_settings(const paper *p, buf *b)
{
    say_fact(p, b, "family", "model_family");
    say_fact(p, b, "tokenizer", "tokenizer");
    say_fact(p, b, "template SHA-256", "template_sha256");
    say_fact(p, b, "arithmetic", "numerics");
    say_fact(p, b, "most tokens", "max_tokens");
    if (b->size == 0) return 'M';
    buf_add_text(b, paper_generates(p) ? "; decoding as the study file says"
                                       : "; no decoding, so no temperature");
    return paper_generates(p) ? 'H' : 'A';
}

static char say_flow(const paper *p, buf *b)
{
    const report_flow *f = &p->v->g->in.flow;
    flow_hidden h = flow_hide(f);
    flow_add_read(b, f, &h, p->v->g->stats.n);
    buf_add_text(b, " rows read");
    for (int32_t i = 0; i < f->n_excluded; i++) {
        buf_add_text(b, "; ");
        flow_add(b, f->excluded[i].n, h.excluded[i]);
        buf_printf(b, " %s", f->excluded[i].reason);
    }
    buf_add_text(b, "; ");
    flow_add(b, p->v->g->stats.n, false);
    buf_add_text(b, " judged. Figure flow");
    return 'A';
}

static char say_cases(const paper *p, buf *b)
{
    const verdict *r = &p->v->g->stats;
    buf_printf(b, "%lld texts", (long long)r->n);
    if (r->n_patient > 0) buf_printf(b, " of %d patients", (int)r->n_patient);
    paper_add_classes(p, b);
    buf_add_text(b, ". Same texts in every arm");
    if (r->n_class > 1) buf_add_text(b, "; subgroups in table T6");
    return 'A';
}

static char say_input(const paper *p, buf *b)
{
    say_fact(p, b, "table format", "data_format");
    say_fact(p, b, "tokens left for a text", "note_tokens");
    if (b->size == 0) return 'M';
    buf_printf(b,
               "; %s; at most %lld texts cut in an arm. Texts were brought to Unicode NFC, else "
               "unchanged",
               paper_cut_words(p)[0] ? paper_cut_words(p) : "no rule for long texts recorded",
               (long long)paper_n_cut(p));
    return 'H';
}

static char say_compute(const paper *p, buf *b)
{
    double seconds = 0;
    for (int32_t k = 0; k < p->v->g->stats.n_arm; k++) seconds += p->v->g->in.arm[k].seconds;
    say_fact(p, b, "arithmetic", "numerics");
    say_fact(p, b, "threads", "threads");
    say_fact(p, b, "peak memory in bytes", "bytes_peak");
    if (b->size == 0) return 'M';
    buf_printf(
        b,
        "; %.0f s of scoring; on the researchers' own machine, without a network. To add: the "
        "processor's name",
        seconds);
    return 'H';
}

static char say_performance(const paper *p, buf *b)
{
    const verdict *r = &p->v->g->stats;
    const texts *t = p->v->likeness;
    for (int32_t k = 0; r->n_class == 1 && t && k < t->found.n_arm; k++) {
        buf_printf(b, "%s%s: ROUGE-L ", k ? "; " : "", p->v->g->in.arm[t->arm[k]].name);
        evidence_add(b, &t->found.arm[k].measure[ALIKE_ROUGE_L], 3);
    }
    for (int32_t k = 0; r->n_class > 1 && k < r->n_arm; k++) {
        buf_printf(b, "%s%s: ", k ? "; " : "", p->v->g->in.arm[k].name);
        if (p->v->binary) buf_add_text(b, "AUROC ");
        else buf_add_text(b, "right ");
        evidence_add(b, p->v->binary ? &p->v->arm[k].auroc->logit : &r->arm[k].accuracy, 3);
    }
    return 'A';
}

static char say_limits(const paper *p, buf *b)
{
    const verdict *r = &p->v->g->stats;
    buf_add_text(b, "On record: ");
    flow_add(b, paper_n_cut(p), false);
    buf_add_text(b, " texts cut in an arm at most; ");
    flow_add(b, r->n_row - r->n, false);
    buf_add_text(b, " texts without a score in some arm");
    for (int32_t k = 0; k < r->n_arm; k++) {
        if (r->n > 0 && r->n_class > 1 && r->arm[k].mass_median < 0.5 &&
            !p->v->g->in.arm[k].baseline)
            buf_printf(b, "; arm %s: little belief in any answer (median label mass %.3f)",
                       p->v->g->in.arm[k].name, r->arm[k].mass_median);
    }
    buf_add_text(b, ". To add: what they mean");
    return 'H';
}

static char say_comparisons(const paper *p, buf *b)
{
    const verdict *r = &p->v->g->stats;
    if (r->n_arm < 2) return 'M';
    buf_printf(b, "%d arms on the same texts", (int)r->n_arm);
    if (r->n_class == 1) buf_add_text(b, ": table S9");
    else
        buf_printf(b, ", baselines among them; %d paired tests, %sHolm", (int)r->n_pair,
                   r->primary >= 0 ? "one primary, the others " : "");
    buf_add_text(b, ". To add: comparison with people");
    return 'H';
}

static bool differ_in_wording(const paper *p)
{
    for (int32_t k = 1; k < p->v->g->stats.n_arm; k++) {
        if (p->v->g->in.arm[k].baseline) continue;
        if (strcmp(p->arm[k].question, p->arm[0].question)) return true;
    }
    return false;
}

/* Of a study that compares texts with references and has no labels; NULL: as elsewhere. */
static const char *without_labels(answer which)
{
    switch (which) {
    case RAW_OUTPUT: return "generated texts are kept (study.db; counts in table S3)";
    case SCORING:
    case CALIBRATION:
        return "words shared with the reference texts: ROUGE, exact match, BLEU, chrF, each with "
               "an interval; tables S8 and S9, figure likeness. They count words, not facts";
    case THRESHOLD: return "none: texts are compared with references, no class is called";
    case RANDOMNESS:
        return "texts are drawn with recorded seeds and are the same bit for bit for any batch, "
               "threads or resume";
    default: return NULL;
    }
}

/* Items that one sentence answers whatever the records. */
static char say_fixed(const paper *p, answer which, buf *b)
{
    const char *text = NULL;
    char status = 'A';
    if (p->v->g->stats.n_class == 1 && (text = without_labels(which))) {
        buf_add_text(b, text);
        return status;
    }
    switch (which) {
    case RAW_OUTPUT:
        text = paper_generates(p)
                   ? "generated texts, their parsed answers and failures to parse are kept "
                     "(study.db; counts in table S3), and the log-probabilities of the answers "
                     "asked behind them"
                   : "no text was generated; log-probabilities of the listed answers are kept for "
                     "every text (study.db, scores.csv)";
        break;
    case SCORING:
        text = paper_adapts(p)
                   ? "log-sum-exp over the ways of writing each class; log-odds of the positive "
                     "class; adapters trained as tables T5 and S4 say"
                   : "log-sum-exp over the ways of writing each class; log-odds of the positive "
                     "class; weights unchanged";
        break;
    case THRESHOLD:
        buf_add_text(b, "probabilities are ");
        if (evidence_recal_words(&p->v->g->stats))
            buf_printf(b, "recalibrated by %s on tune texts",
                       evidence_recal_words(&p->v->g->stats));
        else buf_add_text(b, "the model's own (softmax over the classes)");
        buf_add_text(b, "; calls are ");
        evidence_add_point(&p->v->g->stats, b);
        buf_add_text(b, "; nothing was chosen on the judged texts");
        break;
    case ACCESS: text = "local files, no network, one case a prompt"; break;
    case RANDOMNESS:
        text = "scoring has no randomness and is the same bit for bit for any batch, threads or "
               "resume; "
               "examples and resamples are drawn with recorded seeds. Table T7 where arms repeat";
        break;
    case CALIBRATION:
        text = "AUROC, average precision, Brier, intercept, slope, smoothed curve, net benefit, "
               "each with "
               "an interval; table T2, figures roc, pr, calibration, decision, scores";
        break;
    case PROMPTS:
        text = "every prompt to the letter in table S1; one case a prompt, no conversation";
        break;
    case PROMPT_TUNING:
        text = "To add: who wrote the prompts, what was tried, on which texts";
        status = 'H';
        break;
    case BUNDLE:
        text = "scores, prompts, hashes and this folder can be shared without texts. To add: where";
        status = 'H';
        break;
    case ERRORS:
        if (p->v->g->stats.n_class == 1) return 'M';
        text = "figure confusion counts them. To add: what kinds they are";
        status = 'H';
        break;
    case CHARACTERISTICS: text = "table T1"; break;
    default: status = 'M'; break;
    }
    if (text) buf_add_text(b, text);
    return status;
}

/* The answer in words, and who is to finish it. */
static char say(const paper *p, answer which, buf *b)
{
    const verdict *r = &p->v->g->stats;
    switch (which) {
    case MODEL: return say_model(p, b);
    case SETTINGS: return say_settings(p, b);
    case FLOW: return say_flow(p, b);
    case CASES: return say_cases(p, b);
    case INPUT: return say_input(p, b);
    case COMPUTE: return say_compute(p, b);
    case PERFORMANCE: return say_performance(p, b);
    case LIMITS: return say_limits(p, b);
    case TITLE:
        say_fact(p, b, "study", "study");
        say_fact(p, b, "model", "model_name");
        return b->size ? 'H' : 'M';
    case OUTCOME:
        if (p->v->likeness && r->n_class == 1) {
            buf_add_text(b, "texts compared with references. Measures: table S8");
            return 'H';
        }
        if (!p->v->binary) return 'M';
        buf_printf(b, "event: %s. Measures: table T2. To add: how the event was defined",
                   p->v->g->in.class_name[r->positive]);
        return 'H';
    case COMPARISONS: return say_comparisons(p, b);
    case SPLITS:
        if (!has(p, "data_sha256")) return 'M';
        buf_printf(
            b,
            "table SHA-256 %s; the rows scored are those of figure flow. To add: whether these "
            "texts were looked at while prompts were written",
            fact(p, "data_sha256"));
        return 'H';
    case DATES:
        if (!strstr(fact(p, "profile"), "first_date")) return 'M';
        buf_add_text(b, "years of each part in table T1");
        return 'A';
    case SUBGROUPS:
        if (p->v->n_group == 0) return 'M';
        buf_add_text(b, "table T6, figure forest");
        return 'A';
    case WORDINGS:
        if (r->n_arm < 2) return 'M';
        if (r->n_class == 1) {
            buf_add_text(b, "table S9");
            return 'A';
        }
        buf_add_text(b, differ_in_wording(p) ? "tables T3 and T7"
                                             : "table T3; one wording of the question");
        return 'A';
    case TUNING:
        if (paper_adapts(p)) {
            buf_add_text(b, "adapters (LoRA): tables T5 and S4. To add: why these settings");
            return 'H';
        }
        buf_add_text(b, "none: weights unchanged, no retrieval");
        return 'A';
    default: return say_fixed(p, which, b);
    }
}

void paper_checklist(const paper *p, sheet *s)
{
    sheet_open(s, "checklists", "What reporting guidelines ask, and what the records answer");
    sheet_column(s, "guideline", false);
    sheet_column(s, "item", false);
    sheet_column(s, "asks for (in our words)", false);
    sheet_column(s, "status", false);
    sheet_column(s, "from the records", false);
    for (size_t i = 0; i < countof(items); i++) {
        buf text = buf_up_to(1 << 20);
        char status = say(p, items[i].answer, &text);
        if (status == 'M' && text.size == 0 && items[i].answer != BY_AUTHORS)
            buf_add_text(&text, "no record: for the authors");
        sheet_add(s, str_of(items[i].guideline));
        sheet_add(s, str_of(items[i].item));
        sheet_add(s, str_of(items[i].asks));
        sheet_printf(s, "%c", status);
        sheet_add(s, buf_view(&text));
        buf_close(&text);
    }
    sheet_note(
        s,
        "A: answered from records. H: a draft from records, to be completed. M: for the authors.");
    sheet_note(s, "Short words of our own, some items together (item 10 of TRIPOD-LLM, on "
                  "summaries, is left out); fill in the official forms as well.");
    sheet_note(
        s,
        "Numbers of items: TRIPOD-LLM as in Table 2 (Nat Med 2025;31:60-69), compared with two "
        "copies of the table, not with the journal's page; REFINE as in the official online form "
        "(Diagn Interv Radiol 2026, doi 10.4274/dir.2026.263812); MI-CLEAR-LLM 2025 (Korean J "
        "Radiol 2025;26:1123-1132): its eight groups in the order of a summary of Table 1, the "
        "points within a group have no confirmed numbers.");
}
