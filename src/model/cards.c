/* cards: see cards.h.
 *
 * Memory: what nvidia-smi shows as total (81559 MiB for an "80 GB" H100): H100, A100, L40S, L4, T4
 * from modal-labs/modal-client#2797 (2025); RTX 5090 32607 MiB from noonghunna/club-3090#1229; the
 * others from nvidia-smi listings in public reports of the same kind.
 *
 * Reserve: nvidia-smi's "Reserved" plus one bare CUDA context (256 MiB on a 3090, driver 610:
 * invoke-ai/InvokeAI#9413; about 300 MB with lazy loading of kernels: pytorch/pytorch#107667), made
 * up to 0.5 GB on small and 0.8 GB on large cards. Measured (driver 580, November 2026): H100 480 +
 * 526 MiB, H200 1142 MiB in all. A desktop on the same card takes more: give
 * `--memory` with what nvidia-smi shows as free.
 *
 * Bandwidth and dense bf16 rate with float32 sums (fp16 where a card has no bf16: T4, V100): the
 * makers' data sheets and architecture white papers: GA102 v2 (A6000 154.8, RTX 3090 71), Ada (RTX
 * 4090 165.2), RTX Blackwell (RTX 5090 209.5); data sheets of L4 (121), L40S (362.05), T4 (65),
 * V100 SXM2 (125), A100 (312), H100 SXM (989.4) and PCIe (756), H200 (989.4), HGX B200 (2250; its
 * bus is 7680 bits wide: pytorch/ao#4002).
 *
 * Processors: cores x sustained GHz x 32 float32 operations (two 8-wide FMAs) a cycle; bandwidth of
 * the fastest memory the maker allows (Intel ARK, AMD product pages). Reserve: what a desktop and a
 * browser take, 4 GB. */
#include "model/cards.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>

#define MIB ((int64_t)1 << 20)
#define GIB ((int64_t)1 << 30)
#define MB ((int64_t)1000000)
#define G 1e9
#define T 1e12

static const card table[] = {
    {"a6000", "RTX A6000 48 GB", CARD_GPU, 49140 * MIB, 800 * MB, 768 * G, 154.8 * T, 4096},
    {"rtx3090", "GeForce RTX 3090 24 GB", CARD_GPU, 24576 * MIB, 600 * MB, 936.2 * G, 71 * T, 2048},
    {"rtx4090", "GeForce RTX 4090 24 GB", CARD_GPU, 24564 * MIB, 600 * MB, 1008 * G, 165.2 * T,
     4096},
    {"rtx5090", "GeForce RTX 5090 32 GB", CARD_GPU, 32607 * MIB, 800 * MB, 1792 * G, 209.5 * T,
     4096},
    {"l4", "L4 24 GB", CARD_GPU, 23034 * MIB, 600 * MB, 300 * G, 121 * T, 2048},
    {"t4", "T4 16 GB", CARD_GPU, 15360 * MIB, 500 * MB, 320 * G, 65 * T, 2048},
    {"v100-16", "V100 16 GB", CARD_GPU, 16384 * MIB, 500 * MB, 900 * G, 125 * T, 2048},
    {"v100", "V100 32 GB", CARD_GPU, 32768 * MIB, 500 * MB, 900 * G, 125 * T, 2048},
    {"a100-40", "A100 40 GB", CARD_GPU, 40960 * MIB, 800 * MB, 1555 * G, 312 * T, 4096},
    {"a100-80", "A100 80 GB", CARD_GPU, 81920 * MIB, 800 * MB, 2039 * G, 312 * T, 8192},
    {"l40s", "L40S 48 GB", CARD_GPU, 46068 * MIB, 800 * MB, 864 * G, 362.05 * T, 4096},
    {"h100", "H100 80 GB SXM", CARD_GPU, 81559 * MIB, 1006 * MIB, 3350 * G, 989.4 * T, 8192},
    {"h100-pcie", "H100 80 GB PCIe", CARD_GPU, 81559 * MIB, 1006 * MIB, 2000 * G, 756 * T, 8192},
    {"h200", "H200 141 GB", CARD_GPU, 143771 * MIB, 1142 * MIB, 4800 * G, 989.4 * T, 8192},
    {"b200", "B200 180 GB", CARD_GPU, 183359 * MIB, 1500 * MB, 7672 * G, 2250 * T, 8192},
    {"laptop-i5-8250u", "laptop, Core i5-8250U (4 cores), 16 GB", CARD_CPU, 16 * GIB, 4 * GIB,
     37.5 * G, 4 * 2.2 * 32 * G, 512},
    {"laptop-i7-1165g7", "laptop, Core i7-1165G7 (4 cores), 16 GB", CARD_CPU, 16 * GIB, 4 * GIB,
     68.3 * G, 4 * 2.8 * 32 * G, 512},
    {"laptop-i7-1260p", "laptop, Core i7-1260P (4 + 8 cores), 16 GB", CARD_CPU, 16 * GIB, 4 * GIB,
     76.8 * G, (4 * 2.8 + 8 * 2.1 / 2) * 32 * G, 512},
    {"laptop-ultra7-155h", "laptop, Core Ultra 7 155H (6 + 8 cores), 32 GB", CARD_CPU, 32 * GIB,
     4 * GIB, 119.5 * G, (6 * 3.0 + 8 * 2.4 / 2) * 32 * G, 512},
    {"laptop-ryzen-5800u", "laptop, Ryzen 7 5800U (8 cores), 16 GB", CARD_CPU, 16 * GIB, 4 * GIB,
     68.3 * G, 8 * 2.6 * 32 * G, 512},
    {"laptop-ryzen-7840u", "laptop, Ryzen 7 7840U (8 cores), 32 GB", CARD_CPU, 32 * GIB, 4 * GIB,
     120 * G, 8 * 3.3 * 32 * G, 512},
};

/* Measured by bench/gpu/b_gpu (bench/results/gpu.csv) on Llama 2 7B's shape in bf16: 48,967 tokens
 * a second scored and 15,902 trained (8 x 1,024: 13.2 and 26.9 GFLOP a token, attention
 * included), 1,414 GB/s of what a step must read generated (64 x 8 behind 1,000). On an H200
 * 50,121 and 21,468; a step of 16 texts behind 1,000 reads its 13.5 GB of weights in 7.39 ms. */
static const struct {
    const char *name;
    card_rates rates;
} measured[] = {
    {"h100",
     {647 * T, 427 * T, 1414 * G, CARD_LAYER_SCORE, CARD_LAYER_TRAIN,
      "on one H100 (80 GB HBM3, bf16, Llama 2 7B's shape, 2026-11)"}},
    {"h200",
     {662 * T, 577 * T, 1824 * G, CARD_LAYER_SCORE, CARD_LAYER_TRAIN,
      "on one H200 (141 GB, bf16, Llama 2 7B's shape, 2026-11)"}},
};

card_rates card_rates_of(const card *c)
{
    for (size_t i = 0; i < countof(measured); i++) {
        if (!strcmp(measured[i].name, c->name)) return measured[i].rates;
    }
    const bool gpu = c->kind == CARD_GPU;
    return (card_rates){.score = c->rate * CARD_SHARE,
                        .train = c->rate * CARD_SHARE_TRAIN,
                        .draw = c->bandwidth * CARD_SHARE,
                        .layer_score = gpu ? CARD_LAYER_SCORE : 0,
                        .layer_train = gpu ? CARD_LAYER_TRAIN : 0};
}

const card *cards_all(int32_t *n)
{
    assert(n);
    *n = (int32_t)countof(table);
    return table;
}

enum { NAME_BYTES = 48 };

/* Letters and digits alone, small; leading makers' words left out. */
static bool squeeze(const char *name, char out[NAME_BYTES])
{
    static const char *const words[] = {"nvidia", "geforce", "tesla"};
    size_t n = 0;
    for (; *name; name++) {
        if (!isalnum((unsigned char)*name)) continue;
        if (n + 1 == NAME_BYTES) return false;
        out[n++] = (char)tolower((unsigned char)*name);
    }
    out[n] = 0;
    for (size_t i = 0; i < countof(words); i++) {
        size_t k = strlen(words[i]);
        if (!strncmp(out, words[i], k)) memmove(out, out + k, strlen(out + k) + 1);
    }
    n = strlen(out);
    if (n > 2 && !strcmp(out + n - 2, "gb")) out[n - 2] = 0;
    return out[0] != 0;
}

const card *card_find(const char *name, err *e)
{
    /* What people type, beside the names of the table. */
    static const struct {
        const char *said, *name;
    } other[] = {{"rtxa6000", "a6000"}, {"3090", "rtx3090"},     {"4090", "rtx4090"},
                 {"5090", "rtx5090"},   {"v10032", "v100"},      {"a100", "a100-40"},
                 {"h100sxm", "h100"},   {"h10080", "h100"},      {"a600048", "a6000"},
                 {"h200141", "h200"},   {"rtx409024", "rtx4090"}};
    char wanted[NAME_BYTES], has[NAME_BYTES];
    const char *names[countof(table)];
    bool fits = squeeze(name, wanted);
    for (size_t i = 0; fits && i < countof(other); i++) {
        if (!strcmp(wanted, other[i].said)) squeeze(other[i].name, wanted);
    }
    for (size_t i = 0; i < countof(table); i++) {
        names[i] = table[i].name;
        if (fits && squeeze(table[i].name, has) && !strcmp(wanted, has)) return &table[i];
    }
    const char *near = fits ? str_nearest(str_of(wanted), names, countof(table)) : NULL;
    err_set(e, ERR_USAGE,
            "no card is called '%.40s'%s%s%s; `caseload fit --list` names them, or give "
            "--memory 48GB",
            name, near ? "; did you mean `" : "", near ? near : "", near ? "`" : "");
    return NULL;
}

/* Letters and digits on their own: "L4" is not in "L40S". */
static bool has_word(str text, const char *word)
{
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= text.size; i++) {
        if (memcmp(text.data + i, word, n) != 0) continue;
        const bool before = i > 0 && isalnum((unsigned char)text.data[i - 1]);
        const bool after = i + n < text.size && isalnum((unsigned char)text.data[i + n]);
        if (!before && !after) return true;
    }
    return false;
}

const card *card_of_device(const char *name)
{
    static const struct {
        const char *word, *other, *card; /* other NULL: the word alone tells */
    } known[] = {{"RTX A6000", NULL, "a6000"},
                 {"RTX 3090", NULL, "rtx3090"},
                 {"RTX 4090", NULL, "rtx4090"},
                 {"RTX 5090", NULL, "rtx5090"},
                 {"L4", NULL, "l4"},
                 {"T4", NULL, "t4"},
                 {"V100", "16GB", "v100-16"},
                 {"V100", "32GB", "v100"},
                 {"A100", "40GB", "a100-40"},
                 {"A100", "80GB", "a100-80"},
                 {"L40S", NULL, "l40s"},
                 {"H100", "PCIe", "h100-pcie"},
                 {"H100", NULL, "h100"},
                 {"H200", NULL, "h200"},
                 {"B200", NULL, "b200"}};
    const str text = {name, strcspn(name, ",")};
    err ignored = {0};
    for (size_t i = 0; i < countof(known); i++) {
        if (!has_word(text, known[i].word)) continue;
        if (!known[i].other || has_word(text, known[i].other))
            return card_find(known[i].card, &ignored);
    }
    return NULL;
}

/* The factor of a unit; 0: no unit. */
static double unit_of(str unit)
{
    static const char letters[] = "kmgt";
    char small[4];
    if (unit.size == 0) return 1;
    if (unit.size > 3) return 0;
    for (size_t i = 0; i < unit.size; i++) small[i] = (char)tolower((unsigned char)unit.data[i]);
    if (unit.size == 1 && small[0] == 'b') return 1;
    const char *at = memchr(letters, small[0], 4);
    if (!at) return 0;
    bool binary = unit.size == 3 && small[1] == 'i' && small[2] == 'b';
    bool decimal = unit.size == 1 || (unit.size == 2 && small[1] == 'b');
    if (!binary && !decimal) return 0;
    return pow(binary ? 1024 : 1000, (double)(at - letters + 1));
}

/* Fit for a message: printable, cut. */
static void show(char out[32], str text)
{
    size_t n = text.size < 31 ? text.size : 31;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text.data[i];
        out[i] = c < 32 || c > 126 ? '?' : (char)c;
    }
    out[n] = 0;
}

bool card_parse_memory(str text, int64_t *bytes, err *e)
{
    str all = str_trim(text);
    size_t n = 0;
    while (n < all.size && (isdigit((unsigned char)all.data[n]) || all.data[n] == '.')) n++;
    double number = 0, unit = unit_of(str_trim(str_part(all, n, all.size - n)));
    bool ok = n > 0 && str_to_double(str_part(all, 0, n), &number) && unit > 0;
    double value = number * unit;
    if (!ok || !(value >= 1e6 && value <= 1e15)) {
        char shown[32];
        show(shown, all);
        return err_set(e, ERR_USAGE,
                       "'%s' is no size of memory; write it like 48GB or 44.5GiB, from 1 MB to "
                       "1000 TB",
                       shown);
    }
    *bytes = (int64_t)value;
    return true;
}

#undef MIB
#undef GIB
#undef MB
#undef G
#undef T
