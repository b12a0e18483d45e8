/* paper_words: a methods paragraph, in English and in Korean, made from the records. What no
 * record says is left out: a sentence appears only when all it states is on record. */
#include "view/flow.h"
#include "view/paper_in.h"
#include "view/small.h"
#include "view/texts.h"

#include <stdio.h>

static const char *fact(const paper *p, const char *key) { return gather_fact(p->v->g, key); }
static const verdict *stats_of(const paper *p) { return &p->v->g->stats; }
static const report_input *in_of(const paper *p) { return &p->v->g->in; }

int64_t paper_n_cut(const paper *p)
{
    int64_t most = 0;
    for (int32_t k = 0; k < stats_of(p)->n_arm; k++)
        most = in_of(p)->arm[k].n_cut > most ? in_of(p)->arm[k].n_cut : most;
    return most;
}

const char *paper_cut_words(const paper *p)
{
    static const struct {
        const char *rule, *words;
    } rules[] = {{"refuse", "longer texts were not scored"},
                 {"head", "of longer texts the beginning was kept"},
                 {"tail", "of longer texts the end was kept"},
                 {"head+tail", "of longer texts the beginning and the end were kept"}};
    for (size_t i = 0; i < countof(rules); i++) {
        if (!strcmp(fact(p, "cut"), rules[i].rule)) return rules[i].words;
    }
    return "";
}

static const char *cut_words_korean(const paper *p)
{
    static const struct {
        const char *rule, *words;
    } rules[] = {{"refuse", "더 긴 글은 점수를 매기지 않았다"},
                 {"head", "더 긴 글은 앞부분을 남겼다"},
                 {"tail", "더 긴 글은 뒷부분을 남겼다"},
                 {"head+tail", "더 긴 글은 앞부분과 뒷부분을 남겼다"}};
    for (size_t i = 0; i < countof(rules); i++) {
        if (!strcmp(fact(p, "cut"), rules[i].rule)) return rules[i].words;
    }
    return "";
}

static void add_count(buf *b, int64_t n) { flow_add(b, n, false); }

static int32_t hide_classes(const paper *p, bool hidden[SMALL_CLASSES_MAX])
{
    const verdict *r = stats_of(p);
    int32_t n = r->n_class < SMALL_CLASSES_MAX ? r->n_class : SMALL_CLASSES_MAX;
    small_mark(r->class_count, n, hidden);
    return n;
}

void paper_add_classes(const paper *p, buf *b)
{
    bool hidden[SMALL_CLASSES_MAX];
    int32_t n = hide_classes(p, hidden);
    if (n == 1) return; /* no labels */
    for (int32_t c = 0; c < n; c++) {
        buf_add_text(b, c ? ", " : ": ");
        small_add(b, stats_of(p)->class_count[c], hidden[c]);
        buf_printf(b, " %s", in_of(p)->class_name[c]);
    }
}

static void add_hash(buf *b, const char *hex) { buf_printf(b, "%.16s", hex); }

/* The first 10 characters of a time, the day. */
static void add_day(buf *b, const char *time) { buf_printf(b, "%.10s", time); }

static void add_arms(const paper *p, buf *b, const char *example, const char *examples)
{
    const char *between = "";
    for (int32_t k = 0; k < stats_of(p)->n_arm; k++) {
        if (in_of(p)->arm[k].baseline) continue;
        buf_printf(b, "%s%s", between, in_of(p)->arm[k].name);
        between = "; ";
        if (p->arm[k].shots > 0)
            buf_printf(b, " (%d %s, seed %lld)", (int)p->arm[k].shots,
                       p->arm[k].shots == 1 ? example : examples, (long long)p->arm[k].seed);
    }
}

/* Without the line's end that a study file's block ends in. */
static int question_size(const paper *p) { return (int)str_trim(str_of(in_of(p)->question)).size; }

/* Arms that ask the model. */
static int32_t n_asking(const paper *p)
{
    int32_t n = 0;
    for (int32_t k = 0; k < stats_of(p)->n_arm; k++) n += !in_of(p)->arm[k].baseline;
    return n;
}

/* "baseline-tfidf (..); ..", after `open`; nothing when there are none. */
static void add_baselines(const paper *p, buf *b, const char *open)
{
    for (int32_t k = 0; k < stats_of(p)->n_arm; k++) {
        const report_arm *a = &in_of(p)->arm[k];
        if (!a->baseline) continue;
        buf_printf(b, "%s%s", open, a->name);
        if (a->detail && a->detail[0]) buf_printf(b, " (%s)", a->detail);
        open = "; ";
    }
    if (!strcmp(open, "; ")) buf_add_text(b, ". ");
}

/* --- English --- */

static void english_model(const paper *p, buf *b)
{
    if (fact(p, "model_name")[0] == 0) return;
    buf_printf(b, "We used the language model %s", fact(p, "model_name"));
    if (fact(p, "model_parameters")[0]) {
        buf_add_text(b, " (");
        flow_add_digits(b, fact(p, "model_parameters"));
        buf_printf(b, " parameters; family %s; %s; licence %s", fact(p, "model_family"),
                   fact(p, "model_format"),
                   fact(p, "model_licence")[0] ? fact(p, "model_licence")
                                               : "not stated in the file");
        if (fact(p, "model_sha256")[0]) {
            buf_add_text(b, "; SHA-256 ");
            add_hash(b, fact(p, "model_sha256"));
        }
        buf_add_char(b, ')');
    }
    buf_add_text(b, ", run locally and without a network by caseload ");
    buf_printf(b, "%s", in_of(p)->version);
    if (fact(p, "numerics")[0]) buf_printf(b, " (arithmetic: %s)", fact(p, "numerics"));
    if (fact(p, "started")[0] && fact(p, "ended")[0]) {
        buf_add_text(b, ", between ");
        add_day(b, fact(p, "started"));
        buf_add_text(b, " and ");
        add_day(b, fact(p, "ended"));
    }
    buf_add_text(b, paper_adapts(p) ? ". " : ". The model's weights were not changed. ");
}

static void english_data(const paper *p, buf *b)
{
    const report_flow *f = &in_of(p)->flow;
    flow_hidden h = flow_hide(f);
    const verdict *r = stats_of(p);
    buf_add_text(b, "Of ");
    flow_add_read(b, f, &h, r->n);
    buf_add_text(b, " rows of the table");
    if (fact(p, "data_sha256")[0]) {
        buf_add_text(b, " (SHA-256 ");
        add_hash(b, fact(p, "data_sha256"));
        buf_add_char(b, ')');
    }
    buf_add_char(b, ' ');
    flow_add_asked(b, f, &h, r->n);
    buf_add_text(b, " were to be scored");
    for (int32_t i = 0; i < f->n_excluded; i++) {
        buf_add_text(b, i ? ", " : "; not scored: ");
        flow_add(b, f->excluded[i].n, h.excluded[i]);
        buf_printf(b, " %s", f->excluded[i].reason);
    }
    buf_add_text(b, ". The analysis holds the ");
    add_count(b, r->n);
    buf_add_text(b, " texts that every arm scored");
    if (r->n_patient > 0) buf_printf(b, ", of %d patients", (int)r->n_patient);
    paper_add_classes(p, b);
    buf_add_text(b, ". ");
    if (fact(p, "note_tokens")[0] && paper_cut_words(p)[0]) {
        buf_printf(b, "Every arm had room for %s tokens of a text; %s", fact(p, "note_tokens"),
                   paper_cut_words(p));
        if (paper_n_cut(p) > 0) {
            buf_add_text(b, " (at most ");
            add_count(b, paper_n_cut(p));
            buf_add_text(b, " texts in an arm)");
        }
        buf_add_text(b, ". ");
    }
}

static void english_labels(const paper *p, buf *b)
{
    buf_add_text(b, paper_generates(p)
                        ? "Where texts were generated first (table S3), the label was asked behind "
                          "each and scored. For each "
                        : "No answer was generated: for each ");
    buf_add_text(
        b, "class the log-probabilities of its ways of being written were combined (log-sum-exp) ");
    buf_add_text(b, p->v->binary
                        ? "and the score is the log-odds of the positive class against the others. "
                        : "and normalised over the classes. ");
    add_baselines(p, b,
                  "Compared on the same texts with baselines made without the language model: ");
    buf_add_text(b, paper_generates(p)
                        ? "Generated texts are drawn with recorded seeds; a text's score does "
                          "not depend on batch, order or threads. "
                        : "Scoring has no randomness; a text's score does not depend on batch, "
                          "order or threads. ");
}

static void english_asking(const paper *p, buf *b)
{
    if (in_of(p)->question && in_of(p)->question[0])
        buf_printf(b, "The question was: \"%.*s\". ", question_size(p), in_of(p)->question);
    buf_printf(b, "It was asked in %d %s: ", (int)n_asking(p),
               n_asking(p) == 1 ? "way (arm)" : "ways (arms)");
    add_arms(p, b, "example", "examples");
    buf_add_text(b, ". The prompts are given to the letter in table S1. ");
    if (stats_of(p)->n_class > 1) english_labels(p, b);
    else
        buf_add_text(b, "The model wrote a text or several for each row (table S3), drawn with "
                        "recorded seeds; a row's texts do not depend on batch, order or threads. ");
}

static void english_likeness(const paper *p, buf *b)
{
    const texts *t = p->v->likeness;
    if (!t) return;
    buf_printf(b,
               "Generated texts of %lld rows were compared with their references by ROUGE-1, "
               "ROUGE-2 and ROUGE-L (F of words), exact match, BLEU and chrF (table S8), with "
               "percentile bootstrap intervals (%s resampled). ",
               (long long)t->found.n, t->found.by_patient ? "patients" : "rows");
    if (t->found.n_pair > 0)
        buf_printf(b,
                   "Arms were compared on the same resamples, with p-values adjusted by Holm's "
                   "method over the %d %s of each measure (table S9). ",
                   (int)t->found.n_pair, t->found.n_pair == 1 ? "pair" : "pairs");
    buf_add_text(b, "These measures count shared words, not shared facts. ");
}

static void english_comparisons(const paper *p, buf *b)
{
    const verdict *r = stats_of(p);
    const evidence *v = p->v;
    int32_t first, second;
    int sign;
    if (evidence_primary(v, &first, &second, &sign)) {
        buf_printf(b,
                   "The primary comparison, declared beforehand, is %s against %s; it is not "
                   "adjusted. ",
                   in_of(p)->arm[first].name, in_of(p)->arm[second].name);
        if (v->inferior.margin > 0)
            buf_printf(b,
                       "The first counts as not inferior when the lower end of the interval of "
                       "the difference in AUROC is above -%g. ",
                       v->inferior.margin);
    }
    if (r->n_pair > (r->primary >= 0)) {
        buf_printf(
            b,
            "Arms were compared on the same texts (paired %s test); arm %s is the reference; "
            "p-values were adjusted by Holm's method over all %d %spairs. ",
            v->clusters ? "Obuchowski" : "DeLong", in_of(p)->arm[v->reference].name,
            (int)(r->n_pair - (r->primary >= 0)), r->primary >= 0 ? "other " : "");
    }
}

static void english_statistics(const paper *p, buf *b)
{
    const verdict *r = stats_of(p);
    const evidence *v = p->v;
    double level = 100 * r->level;
    if (r->n_class == 1) return;
    if (!v->binary) {
        buf_printf(
            b,
            "We report the share of texts whose most probable class was right (%.0f %% intervals, "
            "%s), each class's AUROC against the rest, their mean and their mean weighted by the "
            "classes' texts, and Hand and Till's mean over pairs of classes (percentile bootstrap "
            "intervals, %lld resamples of %s). ",
            level, v->clusters ? "by bootstrap of patients" : "Wilson",
            (long long)v->multi[0].n_draw, v->clusters ? "patients" : "texts");
        return;
    }
    buf_printf(
        b,
        "Discrimination is the AUROC with %.0f %% intervals %s, and average precision with "
        "percentile bootstrap intervals (%lld resamples of %s). ",
        level,
        v->clusters
            ? "that allow for several texts of a patient (Obuchowski's variance, logit scale)"
            : "by DeLong's variance on the logit scale",
        (long long)v->arm[0].auprc_draws, v->clusters ? "patients" : "texts within their class");
    buf_add_text(b, "Sensitivity, specificity and predictive values are ");
    evidence_add_point(r, b);
    buf_printf(
        b,
        ", with %s. Calibration is described by the Brier score, intercept, slope and a smoothed "
        "curve of %s, and net benefit by decision curves. ",
        evidence_share_words(v),
        evidence_recal_words(r) ? "the recalibrated probabilities"
                                : "the model's own probabilities");
    if (evidence_recal_words(r))
        buf_printf(
            b,
            "Probabilities were recalibrated by %s, fitted on %lld tune texts that are in no "
            "result, each arm apart. ",
            evidence_recal_words(r), (long long)r->n_tune);
    english_comparisons(p, b);
    for (int32_t g = 0; g < v->n_group; g++)
        buf_printf(b, "%s%.*s",
                   g ? ", " : "Subgroups (exploratory, Cochran's Q): ", (int)v->group[g].name.size,
                   v->group[g].name.data);
    if (v->n_group > 0) buf_add_text(b, ". ");
}

void paper_methods_english(const paper *p, buf *out)
{
    english_model(p, out);
    english_data(p, out);
    english_asking(p, out);
    english_statistics(p, out);
    english_likeness(p, out);
    if (fact(p, "study_sha256")[0]) {
        buf_add_text(out, "The study file has the SHA-256 ");
        add_hash(out, fact(p, "study_sha256"));
        buf_add_text(out, " (first 16 digits, as above).");
    }
    buf_add_char(out, '\n');
}

/* --- Korean --- */

static void korean_model(const paper *p, buf *b)
{
    if (fact(p, "model_name")[0] == 0) return;
    buf_printf(b, "언어 모델은 %s", fact(p, "model_name"));
    if (fact(p, "model_parameters")[0]) {
        buf_add_text(b, "(매개변수 ");
        flow_add_digits(b, fact(p, "model_parameters"));
        buf_printf(b, "개, 계열 %s, 형식 %s, 이용 허락 %s", fact(p, "model_family"),
                   fact(p, "model_format"),
                   fact(p, "model_licence")[0] ? fact(p, "model_licence")
                                               : "파일에 적혀 있지 않음");
        if (fact(p, "model_sha256")[0]) {
            buf_add_text(b, ", SHA-256 ");
            add_hash(b, fact(p, "model_sha256"));
        }
        buf_add_char(b, ')');
    }
    buf_printf(b, "이며, 네트워크 없이 연구자의 컴퓨터에서 caseload %s", in_of(p)->version);
    if (fact(p, "numerics")[0]) buf_printf(b, "(연산: %s)", fact(p, "numerics"));
    buf_add_text(b, "로 실행하였다");
    if (fact(p, "started")[0] && fact(p, "ended")[0]) {
        buf_add_text(b, "(실행 기간: ");
        add_day(b, fact(p, "started"));
        buf_add_text(b, " – ");
        add_day(b, fact(p, "ended"));
        buf_add_char(b, ')');
    }
    buf_add_text(b, paper_adapts(p) ? ". " : ". 모델의 가중치는 바꾸지 않았다. ");
}

/* The reasons of rows.h in Korean; as they stand when there is no word for one. */
static const char *reason_korean(const char *reason)
{
    static const char *const words[][2] = {
        {"empty text", "본문이 비어 있음"},
        {"empty label", "정답이 비어 있음"},
        {"missing", "정답이 결측값으로 표시됨"},
        {"another split", "다른 분할에 속함"},
        {"example", "예시용 행"},
        {"limit", "정한 행 수를 넘음"},
    };
    for (size_t i = 0; i < countof(words); i++) {
        if (strstr(reason, words[i][0])) return words[i][1];
    }
    return reason;
}

static void korean_data(const paper *p, buf *b)
{
    const report_flow *f = &in_of(p)->flow;
    flow_hidden h = flow_hide(f);
    const verdict *r = stats_of(p);
    buf_add_text(b, "자료표");
    if (fact(p, "data_sha256")[0]) {
        buf_add_text(b, "(SHA-256 ");
        add_hash(b, fact(p, "data_sha256"));
        buf_add_char(b, ')');
    }
    buf_add_text(b, "의 ");
    flow_add_read(b, f, &h, r->n);
    buf_add_text(b, "행 가운데 ");
    flow_add_asked(b, f, &h, r->n);
    buf_add_text(b, "행을 채점 대상으로 하였다");
    for (int32_t i = 0; i < f->n_excluded; i++) {
        buf_printf(b, "%s%s ", i ? ", " : "(제외: ", reason_korean(f->excluded[i].reason));
        flow_add(b, f->excluded[i].n, h.excluded[i]);
        buf_add_text(b, "행");
    }
    if (f->n_excluded > 0) buf_add_char(b, ')');
    buf_add_text(b, ". 모든 조건(arm)에서 점수를 얻은 ");
    if (r->n_patient > 0) buf_printf(b, "환자 %d명의 ", (int)r->n_patient);
    buf_add_text(b, "글 ");
    add_count(b, r->n);
    buf_add_text(b, "건을 분석하였다");
    bool hidden[SMALL_CLASSES_MAX];
    int32_t n = hide_classes(p, hidden);
    for (int32_t c = 0; n > 1 && c < n; c++) {
        buf_printf(b, "%s%s ", c ? ", " : "(", in_of(p)->class_name[c]);
        small_add(b, r->class_count[c], hidden[c]);
        buf_add_text(b, "건");
    }
    buf_add_text(b, n > 1 ? "). " : ". ");
    if (fact(p, "note_tokens")[0] && cut_words_korean(p)[0]) {
        buf_printf(b, "모든 조건에서 글에 쓸 수 있는 길이는 %s토큰이었고, %s",
                   fact(p, "note_tokens"), cut_words_korean(p));
        if (paper_n_cut(p) > 0) {
            buf_add_text(b, "(한 조건에서 최대 ");
            add_count(b, paper_n_cut(p));
            buf_add_text(b, "건)");
        }
        buf_add_text(b, ". ");
    }
}

static void korean_labels(const paper *p, buf *b)
{
    buf_add_text(b, paper_generates(p) ? "글을 먼저 생성한 조건(표 S3)에서는 그 뒤에 답을 물어 "
                                         "채점하였다. "
                                       : "답을 생성하지 않았다. ");
    buf_add_text(b, "범주마다 그 범주를 뜻하는 표기들의 "
                    "로그 확률을 합쳐(log-sum-exp) ");
    buf_add_text(b, p->v->binary ? "양성 범주의 로그 오즈를 점수로 삼았다. "
                                 : "범주 전체에 대해 정규화하였다. ");
    add_baselines(p, b, "언어 모델 없이 만든 비교 기준: ");
    buf_add_text(b, paper_generates(p) ? "글의 생성에는 기록된 시드를 썼다. "
                                       : "채점에는 무작위 요소가 없다. ");
    buf_add_text(b, "점수는 배치·순서·스레드 수에 따라 달라지지 않는다. ");
}

static void korean_asking(const paper *p, buf *b)
{
    if (in_of(p)->question && in_of(p)->question[0])
        buf_printf(b, "질문은 \"%.*s\"였다. ", question_size(p), in_of(p)->question);
    buf_printf(b, "질문 방식(arm)은 %d가지였다: ", (int)n_asking(p));
    add_arms(p, b, "example", "examples");
    buf_add_text(b, ". 프롬프트 전문은 표 S1에 실었다. ");
    if (stats_of(p)->n_class > 1) korean_labels(p, b);
    else
        buf_add_text(b,
                     "행마다 모델이 글을 하나 이상 생성하였고(표 S3), 기록된 시드를 썼다. 생성된 "
                     "글은 배치·순서·스레드 수에 따라 달라지지 않는다. ");
}

static void korean_likeness(const paper *p, buf *b)
{
    const texts *t = p->v->likeness;
    if (!t) return;
    buf_printf(b,
               "생성된 글은 %lld행에서 기준 글과 ROUGE-1, ROUGE-2, ROUGE-L(낱말의 F), 완전 일치, "
               "BLEU, chrF로 비교하였고(표 S8), %s 단위 부트스트랩의 백분위 신뢰구간을 붙였다. ",
               (long long)t->found.n, t->found.by_patient ? "환자" : "행");
    if (t->found.n_pair > 0)
        buf_printf(b,
                   "조건 사이의 비교는 같은 재표집에서 하였고, p값은 척도마다 %d쌍에 대하여 Holm "
                   "방법으로 보정하였다(표 S9). ",
                   (int)t->found.n_pair);
    buf_add_text(b, "이 척도들은 낱말의 일치를 셀 뿐 내용의 옳고 그름을 말하지 않는다. ");
}

static void korean_comparisons(const paper *p, buf *b)
{
    const verdict *r = stats_of(p);
    const evidence *v = p->v;
    int32_t first, second;
    int sign;
    if (evidence_primary(v, &first, &second, &sign)) {
        buf_printf(b, "미리 정한 주 비교는 %s 대 %s이며 보정하지 않았다. ",
                   in_of(p)->arm[first].name, in_of(p)->arm[second].name);
        if (v->inferior.margin > 0)
            buf_printf(b,
                       "AUROC 차이의 신뢰구간 하한이 -%g보다 크면 앞의 조건이 비열등한 것으로 "
                       "보았다. ",
                       v->inferior.margin);
    }
    if (r->n_pair > (r->primary >= 0))
        buf_printf(b,
                   "조건 사이의 비교는 같은 글에서 짝지은 %s 검정으로 하였고(기준 조건: %s), p값은 "
                   "%s%d쌍 전체에 대하여 Holm 방법으로 보정하였다. ",
                   v->clusters ? "Obuchowski" : "DeLong", in_of(p)->arm[v->reference].name,
                   r->primary >= 0 ? "나머지 " : "", (int)(r->n_pair - (r->primary >= 0)));
}

static void korean_statistics(const paper *p, buf *b)
{
    const verdict *r = stats_of(p);
    const evidence *v = p->v;
    double level = 100 * r->level;
    if (r->n_class == 1) return;
    if (!v->binary) {
        buf_printf(b,
                   "가장 확률이 높은 범주가 정답인 비율(%.0f %% 신뢰구간, %s), 범주별 AUROC(나머지 "
                   "대비)와 그 평균 및 글 수로 가중한 평균, 범주 쌍에 대한 Hand-Till 평균(%s 단위 "
                   "부트스트랩 %lld회의 백분위 신뢰구간)을 보고한다. ",
                   level, v->clusters ? "환자 단위 부트스트랩" : "Wilson",
                   v->clusters ? "환자" : "글", (long long)v->multi[0].n_draw);
        return;
    }
    buf_printf(b,
               "판별력은 AUROC와 %.0f %% 신뢰구간(%s), 평균 정밀도와 부트스트랩 백분위 신뢰구간(%s "
               "단위 재표집 "
               "%lld회)으로 나타냈다. ",
               level,
               v->clusters ? "한 환자의 여러 글을 고려한 Obuchowski 분산, 로짓 척도"
                           : "DeLong 분산, 로짓 척도",
               v->clusters ? "환자" : "범주 안 글", (long long)v->arm[0].auprc_draws);
    buf_add_text(b, "민감도, 특이도, 예측도는 ");
    evidence_add_point_korean(r, b);
    buf_printf(b,
               " 구하고 %s 신뢰구간을 붙였다. 보정은 %s에 대하여 Brier 점수, 절편, 기울기, 평활 "
               "곡선으로, 순이득은 의사결정 곡선으로 평가하였다. ",
               v->clusters ? "환자 단위 부트스트랩" : "Wilson",
               evidence_recal_words(r) ? "재보정한 확률" : "모델이 낸 확률 그대로");
    if (evidence_recal_words(r))
        buf_printf(b,
                   "확률은 어떤 결과에도 들어가지 않은 조정용(tune) 글 %lld건에서 조건마다 따로 "
                   "%s으로 재보정하였다. ",
                   (long long)r->n_tune, evidence_recal_words_korean(r));
    korean_comparisons(p, b);
    for (int32_t g = 0; g < v->n_group; g++)
        buf_printf(b, "%s%.*s",
                   g ? ", " : "하위군 분석(탐색적, Cochran Q): ", (int)v->group[g].name.size,
                   v->group[g].name.data);
    if (v->n_group > 0) buf_add_text(b, ". ");
}

void paper_methods_korean(const paper *p, buf *out)
{
    korean_model(p, out);
    korean_data(p, out);
    korean_asking(p, out);
    korean_statistics(p, out);
    korean_likeness(p, out);
    if (fact(p, "study_sha256")[0]) {
        buf_add_text(out, "연구 파일의 SHA-256은 ");
        add_hash(out, fact(p, "study_sha256"));
        buf_add_text(out, "이다(앞 16자리, 위와 같음).");
    }
    buf_add_char(out, '\n');
}
