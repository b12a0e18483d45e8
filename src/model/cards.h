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

/* The share of the nominal rate that scoring is assumed to reach until a bench says otherwise. */
#define CARD_EFFICIENCY 0.4

const card *cards_all(int32_t *n);

/* By name, upper or lower case, blanks and dashes as they come ("RTX 4090", "a100-80").
 * ERR_USAGE names the nearest. */
const card *card_find(const char *name, err *e);

/* A memory size: "48 GB", "48GB", "48g", "44.5GiB", "49152MiB", "500000 kB", "51539607552".
 * kB, MB, GB, TB (and k, M, G, T alone) are powers of 1000, as card makers mean them; KiB, MiB,
 * GiB, TiB of 1024. From 1 MB to 1000 TB. ERR_USAGE: "lots" is no size. */
bool card_parse_memory(str text, int64_t *bytes, err *e);

#endif
