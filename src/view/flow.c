/* flow: see flow.h. */
#include "view/flow.h"

#include "view/small.h"

#include <stdio.h>
#include <string.h>

typedef struct cells {
    int32_t n;
    int64_t count[2 * FLOW_REASONS_MAX];
    bool *hidden[2 * FLOW_REASONS_MAX];
    bool fixed[2 * FLOW_REASONS_MAX]; /* printed elsewhere too */
} cells;

static void add_cells(cells *c, const report_count *from, int32_t n, bool *hidden)
{
    for (int32_t i = 0; i < n; i++, c->n++) {
        c->count[c->n] = from[i].n;
        c->hidden[c->n] = &hidden[i];
        c->fixed[c->n] = from[i].printed;
        hidden[i] = (from[i].n > 0 && from[i].n < SMALL_BELOW) || from[i].small;
    }
}

/* Withholds the smallest others until two or more, and 5 rows or more, are; false: too few. */
static bool complete(const cells *c)
{
    for (;;) {
        int32_t n_hidden = 0, least = -1;
        int64_t sum = 0;
        for (int32_t i = 0; i < c->n; i++) {
            n_hidden += *c->hidden[i];
            sum += *c->hidden[i] ? c->count[i] : 0;
            if (*c->hidden[i] || c->fixed[i] || c->count[i] == 0) continue;
            if (least < 0 || c->count[i] < c->count[least]) least = i;
        }
        if (n_hidden == 0 || (n_hidden > 1 && sum >= SMALL_BELOW)) return true;
        if (least < 0) return false;
        *c->hidden[least] = true;
    }
}

flow_hidden flow_hide(const report_flow *f)
{
    flow_hidden h = {0};
    cells c = {0};
    if (f->n_excluded > FLOW_REASONS_MAX || f->n_unscored > FLOW_REASONS_MAX) {
        memset(&h, 1, sizeof h);
        return h;
    }
    add_cells(&c, f->unscored, f->n_unscored, h.unscored);
    h.asked = !complete(&c); /* alone: asked and judged are both known */
    if (!h.asked) c.n = 0;
    add_cells(&c, f->excluded, f->n_excluded, h.excluded);
    h.read = !complete(&c);
    return h;
}

void flow_add_digits(buf *b, const char *digits)
{
    size_t n = strlen(digits);
    bool whole = n > 0 && strspn(digits, "0123456789") == n;
    for (size_t i = 0; i < n; i++) {
        if (whole && i && (n - i) % 3 == 0) buf_add_char(b, ',');
        buf_add_char(b, digits[i]);
    }
}

static void add_grouped(buf *b, int64_t count)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%lld", (long long)count);
    flow_add_digits(b, digits);
}

void flow_add(buf *b, int64_t count, bool hidden)
{
    if (hidden || (count > 0 && count < SMALL_BELOW)) small_add(b, count, hidden);
    else add_grouped(b, count);
}

void flow_add_read(buf *b, const report_flow *f, const flow_hidden *h, int64_t n)
{
    if (h->read) buf_add_char(b, '>');
    add_grouped(b, !h->read ? f->n_read : h->asked ? n : f->n_asked);
}

void flow_add_asked(buf *b, const report_flow *f, const flow_hidden *h, int64_t n)
{
    if (h->asked) buf_add_char(b, '>');
    add_grouped(b, h->asked ? n : f->n_asked);
}
