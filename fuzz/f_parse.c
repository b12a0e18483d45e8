/* Any bytes as a rule's text and a generated text (cut at the first 0): a class or nothing, the
 * same each time, and no class that has no answer. */
#include "text/parse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const str answers[] = {{"Yes", 3}, {"not serious", 11}, {"serious", 7}, {"예", 3}};
    static const int32_t class[] = {0, 1, 0, 2}, letters[] = {2, 0, 1};
    if (size < 2) return 0;
    const uint8_t *zero = memchr(data + 1, 0, size - 1);
    size_t n_rule = zero ? (size_t)(zero - data) - 1 : 0;
    str rule = {(const char *)data + 1, n_rule};
    str text = {(const char *)data + 1 + n_rule + (zero != NULL),
                size - 1 - n_rule - (zero != NULL)};
    spec_rule rules[2] = {{.kind = (spec_parse_kind)(data[0] % (SPEC_PARSE_PATTERN + 1)),
                           .text = {rule, 1}},
                          {.kind = SPEC_PARSE_LAST}};
    spec_arm arm = {.name = {.text = STR("a")},
                    .ask = {.think = {.samples = 1, .n_parse = 2, .parse = rules}}};
    spec s = {.path = "fuzz/study.yaml", .n_arm = 1, .arms = &arm};
    parse_answers all = {
        .n = 4, .text = answers, .class = class, .n_letter = 3, .letter_class = letters};
    err e = {0};
    if (!parse_check(&s, &arm, &e)) return e.code == ERR_USAGE ? 0 : (abort(), 0);
    int32_t found = parse_text(&arm.ask.think, &all, text);
    if (found < PARSE_NOTHING || found > 2) abort();
    if (parse_text(&arm.ask.think, &all, text) != found) abort();
    return 0;
}
