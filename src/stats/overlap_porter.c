/* overlap_porter: M. F. Porter, "An algorithm for suffix stripping", Program 1980;14:130, with the
 * two changes he published later (bli for abli, logi). A suffix is a table row; the longest that
 * fits decides, whether its condition on the stem holds or not. */
#include "stats/overlap.h"

#include <string.h>

typedef struct suffix {
    const char *from, *to;
} suffix;

static bool is_consonant(const char *w, size_t i)
{
    if (strchr("aeiou", w[i])) return false;
    return w[i] != 'y' || i == 0 || !is_consonant(w, i - 1);
}

/* Porter's m: how often a vowel run is followed by a consonant run in the first n letters. */
static int measure(const char *w, size_t n)
{
    int m = 0;
    for (size_t i = 1; i < n; i++) m += is_consonant(w, i) && !is_consonant(w, i - 1);
    return m;
}

static bool has_vowel(const char *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_consonant(w, i)) return true;
    }
    return false;
}

static bool ends(const char *w, size_t n, const char *suffix)
{
    size_t k = strlen(suffix);
    return n >= k && !memcmp(w + n - k, suffix, k);
}

static bool ends_double(const char *w, size_t n)
{
    return n >= 2 && w[n - 1] == w[n - 2] && is_consonant(w, n - 1);
}

/* consonant, vowel, consonant other than w, x, y */
static bool ends_cvc(const char *w, size_t n)
{
    return n >= 3 && is_consonant(w, n - 1) && !is_consonant(w, n - 2) && is_consonant(w, n - 3) &&
           !strchr("wxy", w[n - 1]);
}

/* Replaces the first suffix of the table that fits, when the stem's measure is over `above`. */
static size_t replace(char *w, size_t n, const suffix *table, size_t n_table, int above)
{
    for (size_t k = 0; k < n_table; k++) {
        if (!ends(w, n, table[k].from)) continue;
        size_t stem = n - strlen(table[k].from), size = strlen(table[k].to);
        if (measure(w, stem) <= above) return n;
        memcpy(w + stem, table[k].to, size);
        return stem + size;
    }
    return n;
}

static size_t step_1(char *w, size_t n)
{
    if (ends(w, n, "sses") || ends(w, n, "ies")) n -= 2;
    else if (ends(w, n, "s") && !ends(w, n, "ss")) n--;
    bool cut = false;
    if (ends(w, n, "eed")) {
        if (measure(w, n - 3) > 0) n--;
    } else if (ends(w, n, "ed") && has_vowel(w, n - 2)) {
        n -= 2;
        cut = true;
    } else if (ends(w, n, "ing") && has_vowel(w, n - 3)) {
        n -= 3;
        cut = true;
    }
    if (cut) {
        bool add_e = ends(w, n, "at") || ends(w, n, "bl") || ends(w, n, "iz");
        if (!add_e && ends_double(w, n)) {
            if (!strchr("lsz", w[n - 1])) n--;
        } else if (add_e || (measure(w, n) == 1 && ends_cvc(w, n))) {
            w[n++] = 'e'; /* at least two letters were cut: there is room */
        }
    }
    if (ends(w, n, "y") && has_vowel(w, n - 1)) w[n - 1] = 'i';
    return n;
}

static size_t step_4(char *w, size_t n)
{
    static const suffix table[] = {{"ement", ""}, {"ance", ""}, {"ence", ""}, {"able", ""},
                                   {"ible", ""},  {"ment", ""}, {"ant", ""},  {"ent", ""},
                                   {"ism", ""},   {"ate", ""},  {"iti", ""},  {"ous", ""},
                                   {"ive", ""},   {"ize", ""},  {"al", ""},   {"er", ""},
                                   {"ic", ""},    {"ou", ""}};
    if (ends(w, n, "ion")) {
        bool after = n > 3 && strchr("st", w[n - 4]);
        return after && measure(w, n - 3) > 1 ? n - 3 : n;
    }
    return replace(w, n, table, countof(table), 1);
}

size_t overlap_porter(char *w, size_t n)
{
    static const suffix step_2[] = {{"ational", "ate"}, {"ization", "ize"}, {"iveness", "ive"},
                                    {"fulness", "ful"}, {"ousness", "ous"}, {"tional", "tion"},
                                    {"biliti", "ble"},  {"entli", "ent"},   {"ousli", "ous"},
                                    {"ation", "ate"},   {"alism", "al"},    {"aliti", "al"},
                                    {"iviti", "ive"},   {"enci", "ence"},   {"anci", "ance"},
                                    {"izer", "ize"},    {"alli", "al"},     {"ator", "ate"},
                                    {"logi", "log"},    {"bli", "ble"},     {"eli", "e"}};
    static const suffix step_3[] = {{"icate", "ic"}, {"ative", ""},  {"alize", "al"},
                                    {"iciti", "ic"}, {"ical", "ic"}, {"ness", ""},
                                    {"ful", ""}};
    if (n < 3) return n;
    for (size_t i = 0; i < n; i++) {
        if (w[i] < 'a' || w[i] > 'z') return n; /* digits, other scripts: no stem */
    }
    n = step_1(w, n);
    n = replace(w, n, step_2, countof(step_2), 0);
    n = replace(w, n, step_3, countof(step_3), 0);
    n = step_4(w, n);
    if (ends(w, n, "e")) {
        int m = measure(w, n - 1);
        if (m > 1 || (m == 1 && !ends_cvc(w, n - 1))) n--;
    }
    if (ends(w, n, "ll") && measure(w, n) > 1) n--;
    return n;
}
