/* cards: graphics cards and laptops' processors as figures: memory, bandwidth, rate of products,
 * and what the driver keeps for itself. Data only; nothing here asks a driver. */
#ifndef CASELOAD_MODEL_CARDS_H
#define CASELOAD_MODEL_CARDS_H

#include "base/str.h"

typedef enum card_kind { CARD_GPU, CARD_CPU } card_kind;

typedef struct card {
    const char *name;  /* "a6000", as `--card` takes it */
    const char *title; /* "RTX A6000 48 GB" */
    card_kind kind;
    int64_t bytes_total;   /* GPU: what the driver shows; CPU: memory commonly sold with it */
    int64_t bytes_reserve; /* of them never ours: the driver's share and one context; the system */
    double bandwidth;      /* bytes a second, nominal */
    double rate;           /* operations a second: bf16 products (GPU), float32 (CPU), nominal */
    int32_t rows;          /* row budget of a step that fills it */
} card;

typedef struct card_rates { /* what work reaches on it */
    double score, train; /* operations a second: forward; forward and backward of LoRA */
    double draw;         /* bytes of weights a second while texts are generated */
    double layer_score, layer_train; /* seconds that a layer of a step takes at least */
    const char *source;  /* of a measurement; NULL: the shares below of what the maker states */
} card_rates;

/* Where nothing was measured: shares of the nominal rates. Measured on an H100: 0.65 of the rate in
 * scoring, two thirds of that in training, 0.42 of the bandwidth in generating. */
#define CARD_SHARE 0.4
#define CARD_SHARE_TRAIN 0.26

/* A step of a small model waits for its kernels, not for products. With SmolLM2 135M on an
 * H200: 273,094 tokens in steps of 8,192 in 0.55 s, updates of 4,250 tokens in 0.117 s. */
#define CARD_LAYER_SCORE 0.5e-3
#define CARD_LAYER_TRAIN 3e-3

card_rates card_rates_of(const card *c);

const card *cards_all(int32_t *n);

/* By name, upper or lower case, blanks and dashes as they come ("RTX 4090", "a100-80").
 * ERR_USAGE names the nearest. */
const card *card_find(const char *name, err *e);

/* The card that a driver calls so ("NVIDIA A100-SXM4-80GB"), at the text's start, up to a comma;
 * NULL: none of the table. */
const card *card_of_device(const char *name);

/* A memory size: "48 GB", "48GB", "48g", "44.5GiB", "49152MiB", "500000 kB", "51539607552".
 * kB, MB, GB, TB (and k, M, G, T alone) are powers of 1000, as card makers mean them; KiB, MiB,
 * GiB, TiB of 1024. From 1 MB to 1000 TB. ERR_USAGE: "lots" is no size. */
bool card_parse_memory(str text, int64_t *bytes, err *e);

#endif
