/* Any bytes as a table of questions whose options may be several right ones (`several: each`):
 * refused with a sentence, or a table of options in which every row has an option and a class. The
 * first byte picks JSONL or CSV and how labels are read. */
#include "data/options.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const spec *s, const table *t)
{
    int32_t id = table_find_column(t, STR("id")), label = table_find_column(t, STR("key"));
    int32_t option = table_find_column(t, s->data.text.item[s->data.text.n - 1].text);
    if (id < 0 || label < 0 || option < 0 || s->data.options.n != 0) abort();
    for (int32_t row = 0; row < t->n_row; row++) {
        str is = table_cell(t, row, label);
        if (table_cell(t, row, option).size == 0) abort();
        if (is.size > 0 && !str_is(is, "right") && !str_is(is, "wrong")) abort();
        if (t->row_line[row] < 1) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static spec_text yes = {.text = {"Yes", 3}}, no = {.text = {"No", 2}};
    spec_class classes[2] = {{.name = {.text = STR("right")}, .surfaces = {1, 1, &yes}},
                             {.name = {.text = STR("wrong")}, .surfaces = {1, 1, &no}}};
    spec_text text = {.text = STR("stem")}, columns[2] = {{.text = STR("a")}, {.text = STR("b")}},
              list = {.text = STR("options")};
    if (size < 2) return 0;
    bool json = data[0] & 1;
    spec s = {.path = "fuzz/study.yaml",
              .n_class = 2,
              .classes = classes,
              .data = {.line = 1,
                       .id = {.text = STR("id")},
                       .label = {.text = STR("key")},
                       .text = {1, 1, &text},
                       .options = json ? (spec_list){1, 1, &list} : (spec_list){2, 1, columns},
                       .label_is = (spec_label_is)(data[0] / 2 % (SPEC_LABEL_TEXT + 1)),
                       .several = SPEC_EACH_OPTION}};
    arena a;
    table t;
    err e = {0};
    if (!arena_open_up_to(&a, (size_t)1 << 30, "fuzz", &e)) abort();
    table_options how = {.format = json ? TABLE_JSONL : TABLE_CSV};
    str bytes = {(const char *)data + 1, size - 1};
    bool ok = table_parse(&t, bytes, "fuzz/questions", how, &a, &e) && options_each(&s, &t, &a, &e);
    if (ok) check(&s, &t);
    else if (e.code == ERR_NONE || e.text[0] == '\0') abort();
    arena_close(&a);
    return 0;
}
