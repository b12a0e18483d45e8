/* fit_open: see fit_open.h. */
#include "study/fit_open.h"

#include "base/room.h"

static const size_t bytes_memory = (size_t)16 << 30; /* address space */

bool fit_find_target(fit_target *t, const fit_options *o, err *e)
{
    *t = (fit_target){.n_card = o->n_card > 0 ? o->n_card : 1};
    if (t->n_card > FIT_CARDS_MAX)
        return err_set(e, ERR_USAGE, "%d cards; at most %d are planned for", t->n_card,
                       FIT_CARDS_MAX);
    if (o->card) {
        t->card = card_find(o->card, e);
        if (!t->card) return false;
        t->title = t->card->title;
        t->cuda = t->card->kind == CARD_GPU;
        t->bytes_reserve = t->card->bytes_reserve;
        t->bytes_free = t->card->bytes_total - t->bytes_reserve;
    }
    if (o->memory) {
        if (!card_parse_memory(str_of(o->memory), &t->bytes_free, e)) return false;
        if (!o->card) t->title = "a memory of that size";
        t->bytes_reserve = 0;
    }
    if (t->title) return true;
    if (t->n_card > 1)
        return err_set(e, ERR_USAGE, "--cards %d of which? Give --card NAME or --memory 48GB",
                       t->n_card);
    room now = room_now(0);
    t->title = "this computer";
    t->bytes_free = now.bytes;
    return true;
}

/* Sizes without weights become a header in bf16. */
static bool plan_weights(fit_opened *f, const char *name, const model_config *c, err *e)
{
    plan_source from = {.name = name, .config = c, .numbers = plan_numbers_find("bf16")};
    if (!plan_header(&f->planned, &from, &f->memory, e)) return false;
    f->setup.header = &f->planned;
    return true;
}

static bool open_model(fit_opened *f, const fit_options *o, err *e)
{
    fit_setup *s = &f->setup;
    if (o->shape) {
        s->shape = shape_find(o->shape, e);
        model_config *c = arena_take_zero(&f->memory, 1, sizeof *c, e);
        return s->shape && c && shape_config(s->shape, c, &f->memory, e) &&
               plan_weights(f, s->shape->title, c, e);
    }
    if (!model_peek_sizes(&f->header, o->model, false, &f->memory, e)) return false;
    const model_config *c = &f->header.config;
    if (!c->family)
        return err_set(e, ERR_MODEL, "%s holds a vocabulary but no weights; take the whole model",
                       o->model);
    s->shape = shape_of_config(c);
    s->has_weights = f->header.n_tensor > 0;
    s->header = &f->header;
    return s->has_weights || plan_weights(f, f->header.name, c, e);
}

bool fit_open(fit_opened *f, const fit_options *o, err *e)
{
    *f = (fit_opened){0};
    if (!o->model && !o->shape)
        return err_set(e, ERR_USAGE, "give a model (a file or a folder) or --shape 7b-llama2");
    if (o->model && o->shape) return err_set(e, ERR_USAGE, "give a model or --shape, not both");
    f->setup.ask = o->ask;
    f->setup.device = o->device ? o->device : "cpu";
    if (!fit_find_target(&f->setup.target, o, e)) return false;
    if (!arena_open_up_to(&f->memory, bytes_memory, "the plan's tables", e)) return false;
    f->threads = pool_open(o->threads, e);
    f->setup.threads = f->threads;
    return f->threads && open_model(f, o, e);
}

void fit_close(fit_opened *f)
{
    pool_close(f->threads);
    if (f->header.path) model_close_header(&f->header);
    if (f->memory.block) arena_close(&f->memory);
    *f = (fit_opened){0};
}
