/* guess: see guess.h. Columns are described by a few numbers; then each role takes the best column
 * that is left, in the order split, text, patient, id, label, groups. Known names are rows of a
 * table. */
#include "data/guess.h"

#include "data/names.h"

#include <assert.h>
#include <stdio.h>

typedef struct column_look {
    int32_t n_distinct, n_filled; /* distinct is counted up to DISTINCT_MAX */
    int64_t characters, hangul;   /* sums over the filled cells */
    int64_t longest;              /* characters */
    bool numbers;                 /* every filled cell is a number */
    bool nested;
    bool taken;
} column_look;

enum { DISTINCT_MAX = 1 << 20, SHORT = 48 };

typedef enum role { ROLE_ID, ROLE_TEXT, ROLE_LABEL, ROLE_PATIENT, ROLE_SPLIT, ROLE_GROUP } role;

/* Lower case, without spaces and punctuation; between spaces. */
static const char *const known_names[] = {
    [ROLE_ID] =
        " id caseid recordid reportid noteid docid rowid studyid accession accessionnumber key "
        "번호 연번 순번 일련번호 접수번호 검사번호 고유번호 문서번호 아이디 ",
    [ROLE_TEXT] =
        " text note notes report reporttext narrative body content document description "
        "symptomtext abstract findings sentence utterance comment history question input "
        "본문 판독문 판독소견 판독내용 소견 내용 기록 의무기록 텍스트 경과기록 진료기록 문장 원문 ",
    [ROLE_LABEL] = " label labels class outcome target answer gold truth category diagnosis y "
                   "라벨 레이블 정답 분류 진단 결과 ",
    [ROLE_PATIENT] = " patient patientid patientno subject subjectid person personid pid mrn "
                     "환자 환자번호 환자id 등록번호 병록번호 대상자번호 ",
    [ROLE_SPLIT] = " split set partition subset fold 구분 분할 데이터구분 세트 ",
    [ROLE_GROUP] =
        " sex gender age agegroup site hospital ward department year language group center "
        "centre institution 성별 나이 연령 연령대 병원 기관 진료과 병동 연도 언어 ",
};
static const char reference_words[] =
    " reference references referencetext summary goldsummary targettext answer answertext response "
    "target gold impression conclusion 참고문 참조문 참조 요약 요약문 답변 모범답안 결론 ";
static const char test_words[] = " test testing tst 시험 테스트 평가 ";
static const char train_words[] = " train training trn 훈련 학습 ";
static const char other_words[] = " dev valid validation val tune holdout 검증 ";
static const char positive_words[] =
    " yes y true t 1 positive pos present malignant serious abnormal "
    "예 양성 있음 악성 참 해당 이상 긍정 ";
static const char missing_words[] =
    " na nan none null unknown missing ? . - 미상 모름 결측 불명 없음 ";

/* Is the text, folded, one of the words? */
static bool is_word(str text, const char *words)
{
    char folded[SHORT + 3] = " ";
    size_t n = 1;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool mark = c == ' ' || c == '_' || c == '-' || c == '.' || c == '(' || c == ')';
        if (mark && text.size > 1) continue;
        if (n >= SHORT) return false;
        folded[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    folded[n] = ' ';
    folded[n + 1] = 0;
    return n > 1 && strstr(words, folded) != NULL;
}

static bool has_name(const table *t, int32_t column, role r)
{
    return is_word(t->column_name[column], known_names[r]);
}

static str cell(const table *t, int32_t row, int32_t column)
{
    return str_trim(table_cell(t, row, column));
}

static int64_t count_hangul(str s)
{
    int64_t n = 0;
    for (size_t i = 0; i + 2 < s.size; i++) { /* EA B0 80 .. ED 9E A3 */
        unsigned char lead = (unsigned char)s.data[i];
        n += lead >= 0xEA && lead <= 0xED;
    }
    return n;
}

static bool look_at(const table *t, int32_t c, column_look *look, arena *a, err *e)
{
    names seen;
    size_t mark = arena_mark(a);
    int32_t room = t->n_row < DISTINCT_MAX ? t->n_row : DISTINCT_MAX;
    if (!names_make(&seen, room, a, e)) return false;
    *look = (column_look){.numbers = true, .nested = t->nested_row[c] >= 0};
    for (int32_t row = 0; row < t->n_row; row++) {
        str s = cell(t, row, c);
        double ignored;
        if (s.size == 0) continue;
        int64_t n = encoding_count_characters(s);
        look->n_filled++;
        look->characters += n;
        look->hangul += count_hangul(s);
        if (n > look->longest) look->longest = n;
        if (look->numbers) look->numbers = str_to_double(s, &ignored);
        if (seen.n < seen.max) names_add(&seen, s, NULL);
    }
    look->n_distinct = seen.n;
    arena_reset(a, mark);
    return true;
}

static int64_t mean_characters(const column_look *look)
{
    return look->n_filled ? look->characters / look->n_filled : 0;
}

/* --- roles --- */

/* "test1": of several test sets the first is used. */
static bool is_numbered_test(str s)
{
    const size_t n = s.size;
    return n > 1 && s.data[n - 1] >= '0' && s.data[n - 1] <= '9' &&
           is_word(str_part(s, 0, n - 1), test_words);
}

static void guess_split(guess *g, const table *t, column_look *look)
{
    for (int32_t c = 0; c < t->n_column && g->split < 0; c++) {
        if (look[c].n_distinct < 1 || look[c].n_distinct > 6 || look[c].longest > SHORT) continue;
        str use = {0}, train = {0};
        bool all_known = true;
        for (int32_t row = 0; row < t->n_row; row++) {
            str s = cell(t, row, c);
            if (is_word(s, test_words) || is_numbered_test(s)) use = use.data ? use : s;
            else if (is_word(s, train_words)) train = s;
            else all_known = all_known && (s.size == 0 || is_word(s, other_words));
        }
        if (!use.data || (!all_known && !has_name(t, c, ROLE_SPLIT))) continue;
        g->split = c;
        g->use = use;
        g->train = train;
        look[c].taken = true;
    }
}

static void guess_text(guess *g, const table *t, column_look *look)
{
    for (int named = 1; named >= 0 && g->text < 0; named--) {
        int64_t longest = named ? 9 : 19;
        for (int32_t c = 0; c < t->n_column; c++) {
            if (look[c].taken || look[c].nested || look[c].numbers) continue;
            if (named && !has_name(t, c, ROLE_TEXT)) continue;
            if (mean_characters(&look[c]) <= longest) continue;
            longest = mean_characters(&look[c]);
            g->text = c;
        }
    }
    if (g->text < 0) return;
    column_look *text = &look[g->text];
    text->taken = true;
    g->text_characters = mean_characters(text);
    g->korean = text->hangul * 3 > text->characters;
}

static void guess_patient(guess *g, const table *t, column_look *look)
{
    for (int32_t c = 0; c < t->n_column && g->patient < 0; c++) {
        if (look[c].taken || !has_name(t, c, ROLE_PATIENT) || look[c].n_filled == 0) continue;
        g->patient = c;
    }
    if (g->patient >= 0) look[g->patient].taken = true;
}

static void guess_id(guess *g, const table *t, column_look *look)
{
    for (int named = 1; named >= 0 && g->id < 0; named--) {
        for (int32_t c = 0; c < t->n_column && g->id < 0; c++) {
            if (look[c].taken || (named && !has_name(t, c, ROLE_ID))) continue;
            bool unique =
                look[c].n_distinct == t->n_row && look[c].longest <= (named ? 4 * SHORT : SHORT);
            if (unique && !look[c].nested) g->id = c;
        }
    }
    if (g->id < 0 && g->patient >= 0 && look[g->patient].n_distinct == t->n_row) {
        g->id = g->patient; /* one row a patient */
        g->patient = -1;
    }
    if (g->id >= 0) look[g->id].taken = true;
}

static void guess_label(guess *g, const table *t, column_look *look)
{
    for (int named = 1; named >= 0 && g->label < 0; named--) {
        for (int32_t c = 0; c < t->n_column; c++) {
            if (look[c].taken || look[c].nested || look[c].longest > SHORT) continue;
            if (named && !has_name(t, c, ROLE_LABEL)) continue;
            if (!named && (g->reference >= 0 || has_name(t, c, ROLE_GROUP) ||
                           has_name(t, c, ROLE_SPLIT) || look[c].n_filled * 2 < t->n_row))
                continue;
            int32_t n = look[c].n_distinct;
            if (n < 2 || n > GUESS_CLASSES_MAX || (int64_t)n * 2 > t->n_row) continue;
            if (g->label >= 0 && look[g->label].n_distinct <= n)
                continue; /* the fewer the better */
            g->label = c;
        }
    }
    if (g->label >= 0) look[g->label].taken = true;
}

/* A column of texts of a usual name, beside the text. */
static void guess_reference(guess *g, const table *t, column_look *look)
{
    for (int32_t c = 0; c < t->n_column && g->options < 0 && g->reference < 0; c++) {
        const bool texts = !look[c].nested && !look[c].numbers && look[c].longest > SHORT &&
                           look[c].n_distinct > t->n_row / 2;
        if (!look[c].taken && texts && is_word(t->column_name[c], reference_words))
            g->reference = c;
    }
    if (g->reference < 0) return;
    look[g->reference].taken = true;
    g->answers = mean_characters(&look[g->reference]) > g->text_characters;
}

static void guess_groups(guess *g, const table *t, column_look *look)
{
    for (int32_t c = 0; c < t->n_column && g->n_group < GUESS_GROUPS_MAX; c++) {
        bool few = look[c].n_distinct >= 2 && look[c].n_distinct <= 12;
        if (look[c].taken || look[c].nested || !few || !has_name(t, c, ROLE_GROUP)) continue;
        g->group[g->n_group++] = c;
        look[c].taken = true;
    }
}

static void list_classes(guess *g, const table *t)
{
    for (int32_t row = 0; row < t->n_row; row++) {
        str s = cell(t, row, g->label);
        bool missing = is_word(s, missing_words);
        int32_t i = 0, n = missing ? g->n_missing : g->n_class;
        const str *known = missing ? g->missing : g->class_value;
        while (i < n && !str_equal(known[i], s)) i++;
        if (s.size == 0) continue;
        if (missing && i == n && n < GUESS_MISSING_MAX) g->missing[g->n_missing++] = s;
        if (missing) continue;
        if (i == n) {
            assert(n < GUESS_CLASSES_MAX); /* the column has no more distinct values */
            g->class_value[g->n_class++] = s;
        }
        g->class_rows[i]++;
    }
    for (int32_t i = 1; i < g->n_class; i++) { /* the commonest first */
        for (int32_t k = i; k > 0 && g->class_rows[k] > g->class_rows[k - 1]; k--) {
            str value = g->class_value[k];
            int32_t n = g->class_rows[k];
            g->class_value[k] = g->class_value[k - 1];
            g->class_rows[k] = g->class_rows[k - 1];
            g->class_value[k - 1] = value;
            g->class_rows[k - 1] = n;
        }
    }
    g->positive = g->n_class - 1; /* the rarest, unless one says what it is */
    for (int32_t i = 0; i < g->n_class; i++) {
        if (is_word(g->class_value[i], positive_words)) g->positive = i;
    }
}

/* Lists of options, under a usual name. */
static void guess_options(guess *g, const table *t, const column_look *look)
{
    static const char words[] = " options option choices choice answers 보기 선택지 선지 ";
    for (int32_t c = 0; c < t->n_column && g->options < 0; c++) {
        bool list = look[c].nested && is_word(t->column_name[c], words);
        str first = list ? cell(t, t->nested_row[c], c) : STR("");
        if (first.size > 2 && first.data[0] == '[') g->options = c;
    }
}

/* Labels that are lists too: several options may be right. */
static void guess_several(guess *g, const table *t, const column_look *look)
{
    static const char words[] = " answers answer labels label correct key keys 정답 답 ";
    for (int32_t c = 0; c < t->n_column && g->options >= 0 && g->label < 0; c++) {
        bool list = look[c].nested && c != g->options && is_word(t->column_name[c], words);
        str first = list ? cell(t, t->nested_row[c], c) : STR("");
        if (first.size < 2 || first.data[0] != '[') continue;
        g->label = c;
        g->several = true;
        g->n_class = 2;
        g->class_value[0] = STR("right");
        g->class_value[1] = STR("wrong");
    }
}

bool guess_columns(guess *g, const table *t, arena *a, err *e)
{
    assert(g && t && t->n_row > 0);
    *g = (guess){.id = -1,
                 .text = -1,
                 .label = -1,
                 .patient = -1,
                 .split = -1,
                 .options = -1,
                 .reference = -1};
    column_look *look = arena_take(a, (size_t)t->n_column, sizeof *look, e);
    if (!look) return false;
    for (int32_t c = 0; c < t->n_column; c++) {
        if (!look_at(t, c, &look[c], a, e)) return false;
    }
    guess_options(g, t, look);
    guess_split(g, t, look);
    guess_text(g, t, look);
    if (g->options < 0) guess_patient(g, t, look); /* exam questions have no patient */
    guess_id(g, t, look);
    guess_reference(g, t, look);
    guess_label(g, t, look);
    guess_several(g, t, look);
    const bool labels = g->label >= 0 || g->reference < 0;
    const char *lacks = NULL;
    if (g->text < 0) lacks = "no column looks like the text (words, 20 characters or more a row)";
    else if (g->id < 0)
        lacks = "no column can be the id (short and different in each row); add one";
    else if (labels && g->label < 0)
        lacks = "no column looks like the label (2 to 24 different short values) or like reference "
                "texts";
    if (!lacks && labels && !g->several) list_classes(g, t);
    if (!lacks && labels && g->n_class < 2)
        lacks = "the label column has fewer than two different values";
    if (!lacks) {
        guess_groups(g, t, look);
        return true;
    }
    buf list = buf_up_to(4000);
    table_list_columns(t, STR(""), &list);
    err_set(e, ERR_DATA, "%s: %s; %s", t->path, lacks, list.data ? list.data : "");
    buf_close(&list);
    return false;
}

/* --- the study file --- */

/* A scalar that YAML reads back as it is: bare when simple, else double-quoted. */
static void add_scalar(buf *out, str s)
{
    bool bare = s.size > 0 && s.size < 200;
    for (size_t i = 0; i < s.size && bare; i++) {
        char c = s.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool later = (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '/';
        bool hangul = (unsigned char)c >= 0xEA && (unsigned char)c <= 0xED && i + 2 < s.size;
        if (hangul) i += 2;
        bare = letter || hangul || (later && i > 0);
    }
    if (bare) {
        buf_add_str(out, s);
        return;
    }
    buf_add_char(out, '"');
    for (size_t i = 0; i < s.size;) {
        unsigned char c = (unsigned char)s.data[i];
        size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
        if (n > s.size - i) n = s.size - i;
        bool control =
            n == 2 && c == 0xC2 && (unsigned char)s.data[i + 1] < 0xA0; /* U+0080 .. 9F */
        bool odd = n == 3 && (c == 0xEF || c == 0xE2) &&
                   str_find(str_part(s, i, 3), STR("\xEF\xBB\xBF")) == 0;
        odd |= n == 3 && c == 0xEF && (unsigned char)s.data[i + 1] == 0xBF &&
               (unsigned char)s.data[i + 2] >= 0xBE; /* U+FFFE, U+FFFF */
        if (control) buf_printf(out, "\\x%02x", (unsigned char)s.data[i + 1]);
        else if (odd)
            buf_add_text(out, c == 0xEF && s.data[i + 1] == '\xBB' ? "\\uFEFF" : "\\uFFFD");
        else buf_add_json(out, str_part(s, i, n));
        i += n;
    }
    buf_add_char(out, '"');
}

static void add_line(buf *out, const char *key, str value, const char *comment)
{
    buf_add_text(out, key);
    add_scalar(out, value);
    if (comment) buf_printf(out, "   # %s", comment);
    buf_add_char(out, '\n');
}

static void add_column(buf *out, const table *t, const char *key, int32_t column,
                       const char *comment)
{
    if (column >= 0) add_line(out, key, t->column_name[column], comment);
}

static void write_data(const guess *g, const table *t, str table_file, buf *out)
{
    char text[100];
    buf_add_text(out, "data:\n");
    add_line(out, "  file: ", table_file, "relative to this file");
    add_column(out, t, "  id: ", g->id, "different in every row");
    snprintf(text, sizeof text, "%lld characters a row on average; a list joins several columns",
             (long long)g->text_characters);
    add_column(out, t, "  text: ", g->text, text);
    add_column(out, t, "  label: ", g->label, "the right answer");
    if (g->label < 0)
        add_column(out, t, "  reference: ", g->reference, "what the model's text is compared with");
    add_column(out, t, "  options: ", g->options,
               "a list in each row; the first is number 0, or A");
    if (g->several)
        buf_add_text(out, "  several: each   # several may be right: each option is asked about by "
                          "itself\n");
    add_column(out, t, "  patient: ", g->patient, "a patient's rows belong together");
    if (g->patient < 0)
        buf_add_text(out,
                     "  # patient: ..   # name the column if a patient can have several rows\n");
    for (int32_t i = 0; i < g->n_missing; i++) {
        buf_add_text(out, i ? ", " : "  missing: [");
        add_scalar(out, g->missing[i]);
        if (i + 1 == g->n_missing) buf_add_text(out, "]   # rows with these labels are left out\n");
    }
    for (int32_t i = 0; i < g->n_group; i++) {
        buf_add_text(out, i ? ", " : "  group: [");
        add_scalar(out, t->column_name[g->group[i]]);
        if (i + 1 == g->n_group) buf_add_text(out, "]   # subgroups of the report\n");
    }
    if (g->split < 0) return;
    add_column(out, t, "  split: ", g->split, NULL);
    add_line(out, "  use: ", g->use, "rows to score");
    if (g->train.data) add_line(out, "  train: ", g->train, "rows that examples are taken from");
}

/* Labels such as 0 and 1 get class names that can be read; `names` is by class. */
static bool name_classes(const guess *g, str names_of_class[GUESS_CLASSES_MAX])
{
    bool coded = false;
    double ignored;
    for (int32_t i = 0; i < g->n_class; i++) {
        names_of_class[i] = g->class_value[i];
        coded |= str_to_double(g->class_value[i], &ignored);
    }
    if (!coded || g->n_class != 2) return false;
    names_of_class[g->positive] = g->korean ? STR("양성") : STR("positive");
    names_of_class[1 - g->positive] = g->korean ? STR("음성") : STR("negative");
    return true;
}

static void write_classes(const guess *g, const str *class_name, buf *out)
{
    static const char *const answers[2][2] = {{"[No, no]", "[Yes, yes]"},
                                              {"[아니오, 아니요]", "[예, 네]"}};
    buf_add_text(out, "classes:   # class: the answers that mean it\n");
    for (int32_t k = 0; k < g->n_class; k++) {
        int32_t i = (g->positive + k) % g->n_class; /* the positive class first */
        buf_add_text(out, "  ");
        add_scalar(out, class_name[i]);
        buf_add_text(out, ": ");
        if (g->n_class == 2) buf_add_text(out, answers[g->korean][i == g->positive]);
        else {
            buf_add_char(out, '[');
            add_scalar(out, class_name[i]);
            buf_add_char(out, ']');
        }
        buf_printf(out, "   # %d rows\n", g->class_rows[i]);
    }
    if (g->n_class == 2) add_line(out, "positive: ", class_name[g->positive], NULL);
}

static void write_question(const guess *g, const str *class_name, buf *out)
{
    buf asked = buf_up_to(1 << 16);
    if (g->n_class == 2) {
        buf_add_text(&asked,
                     g->korean ? "이 글은 다음에 해당합니까: " : "Does the text fit this class: ");
        buf_add_str(&asked, class_name[g->positive]);
        buf_add_text(&asked, g->korean ? "? 예 또는 아니오로 답하십시오." : "? Answer Yes or No.");
    } else {
        buf_add_text(&asked, g->korean
                                 ? "이 글은 어디에 속합니까? 다음 가운데 하나로 답하십시오: "
                                 : "Which class does the text belong to? Answer with one of: ");
        for (int32_t i = 0; i < g->n_class; i++) {
            if (i) buf_add_text(&asked, ", ");
            buf_add_str(&asked, class_name[i]);
        }
        buf_add_text(&asked, ".");
    }
    buf_add_text(out, "\n# The text comes after the question, or where {text} stands in it. Your "
                      "own words matter most.\n");
    add_line(out, "question: ", buf_view(&asked), NULL);
    if (asked.failed) out->failed = true;
    buf_close(&asked);
}

/* Options of the rows are the classes: A, B, .. */
static void write_options(const guess *g, buf *out)
{
    if (g->several) {
        buf_add_text(out, g->korean ? "classes: {right: [예], wrong: [아니요]}\npositive: right\n"
                                    : "classes: {right: [Yes], wrong: [No]}\npositive: right\n");
        add_line(out, "question: ",
                 g->korean ? STR("이 보기는 문제의 옳은 답입니까? 예 또는 아니요로 답하십시오.")
                           : STR("Is the option a right answer to the question? Answer Yes or No."),
                 NULL);
        return;
    }
    buf_add_text(out, "framing: options   # a letter and an option a line behind the text\n"
                      "position: as-is    # or cyclic: each option at every place, averaged\n");
    add_line(out, "question: ",
             g->korean ? STR("다음 문제의 답을 고르십시오.") : STR("Choose the right answer."),
             NULL);
}

/* Texts that the model writes, beside references. */
static void write_references(const guess *g, buf *out)
{
    static const char *const questions[2][2] = {{"Summarise the text briefly.",
                                                 "Answer the question in a few sentences."},
                                                {"다음 글을 짧게 요약하십시오.",
                                                 "다음 질문에 몇 문장으로 답하십시오."}};
    buf_add_text(out,
                 "framing: text   # the model writes; its texts are compared with the references\n"
                 "think: {max_tokens: 128}   # of a text at most\n\n"
                 "# Say what the references are: a summary, an answer, a letter.\n");
    add_line(out, "question: ", str_of(questions[g->korean][g->answers]), NULL);
}

static void write_name(str table_file, buf *out)
{
    size_t start = 0, n = 0;
    for (size_t i = 0; i < table_file.size; i++) {
        if (table_file.data[i] == '/') start = i + 1;
    }
    buf_add_text(out, "study: ");
    for (size_t i = start; i < table_file.size && n < 60; i++) {
        char c = table_file.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c == '.' && n > 0) break;
        if (!letter && (n == 0 || c != '-') && c != '_') continue;
        buf_add_char(out, c);
        n++;
    }
    buf_add_text(out, n ? "\n" : "study\n");
}

bool guess_write_study(const guess *g, const table *t, str table_file, str model_file, buf *out,
                       err *e)
{
    assert(g->id >= 0 && g->text >= 0);
    assert(g->label >= 0 ? g->n_class >= 2 : g->reference >= 0);
    str class_name[GUESS_CLASSES_MAX];
    bool renamed = name_classes(g, class_name);
    buf_printf(
        out,
        "# Written after a look at a table of %d rows and %d columns (%s, %s). Every line is a "
        "proposal.\n# `caseload try` shows the prompt of one row; `caseload run` asks about all.\n",
        t->n_row, t->n_column, table_format_name(&t->record), encoding_name(t->record.encoding));
    write_name(table_file, out);
    if (model_file.size)
        add_line(out, "model: ", model_file, "a GGUF file, or a Hugging Face folder");
    else buf_add_text(out, "# model: models/name.gguf   # a GGUF file, or a Hugging Face folder\n");
    write_data(g, t, table_file, out);
    for (int32_t k = 0; k < g->n_class && renamed && g->options < 0; k++) {
        int32_t i = (g->positive + k) % g->n_class;
        buf_add_text(out, k ? ", " : "  labels: {");
        add_scalar(out, class_name[i]);
        buf_add_text(out, ": [");
        add_scalar(out, g->class_value[i]);
        buf_add_text(out,
                     k + 1 < g->n_class ? "]" : "]}   # values of the label column, by class\n");
    }
    if (g->label < 0) write_references(g, out);
    else if (g->options >= 0) write_options(g, out);
    else {
        write_classes(g, class_name, out);
        write_question(g, class_name, out);
    }
    buf_add_text(out, "\narms:   # the ways of asking that are compared\n  - name: zero-shot\n");
    if (g->split >= 0 && g->train.data)
        buf_add_text(out,
                     "  - name: three-shot\n    shots: 3   # examples, from the rows of `train`\n");
    buf_add_text(out,
                 "limits: {max_tokens: 2048, cut: head+tail}   # longer texts lose their middle\n");
    return buf_check(out, "the study file", e);
}
