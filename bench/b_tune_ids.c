/* b_tune_ids: what a training of ours reads, as token ids, for another trainer to do the same:
 *   b_tune_ids STUDY ARM FOLDER
 * FOLDER gets start/ (the adapter before update 1, in PEFT's layout) and ids.jsonl:
 *   {"settings": {"rate", "decay", "clip", "warmup", "updates", "schedule", "rank", "alpha"}}
 *   {"update": 1, "rows": [{"ids": [prompt and target], "n_prompt": 210, "weight": 1}, ..]}   each
 *   {"test": "id", "label": 0, "ids": [prompt], "answers": [[ids], ..], "classes": [0, 1]}     each
 * The ids spell out texts of the table: the folder is as private as the table is. */
#include "study/run.h"
#include "study/tune_in.h"

#include <stdlib.h>

static void die(const err *e)
{
    fprintf(stderr, "b_tune_ids: %s\n", e->text);
    exit(1);
}

static void write_ids(FILE *f, const int32_t *id, int64_t n)
{
    fputc('[', f);
    for (int64_t i = 0; i < n; i++) fprintf(f, "%s%d", i ? "," : "", id[i]);
    fputc(']', f);
}

static void add_path(const tree *t, int32_t segment, int32_t *id, int32_t *n)
{
    if (segment == TREE_ROOT) return;
    const tree_segment *s = tree_at(t, segment);
    add_path(t, s->parent, id, n);
    memcpy(id + *n, tree_ids(t, segment), (size_t)s->count * sizeof *id);
    *n += s->count;
}

static void write_row(FILE *f, const tune_plan *p, int32_t target, int32_t *id)
{
    const tree *t = &p->texts->learn;
    const tree_segment *s = tree_at(t, target);
    int32_t n = 0;
    add_path(t, target, id, &n);
    fputs("{\"ids\": ", f);
    write_ids(f, id, n);
    fprintf(f, ", \"n_prompt\": %d, \"weight\": %.17g}", n - s->count,
            p->weight[p->texts->label[s->owner]]);
}

static void write_updates(FILE *f, const tune_plan *p, int32_t *id)
{
    const optim_config *o = &p->optim;
    const int32_t batch = p->training->lora->batch;
    fprintf(f,
            "{\"settings\": {\"rate\": %.17g, \"decay\": %.17g, \"clip\": %.17g, \"warmup\": %lld, "
            "\"updates\": %lld, \"schedule\": \"%s\", \"rank\": %d, \"alpha\": %.17g}}\n",
            o->rate, o->decay, o->clip, (long long)o->warmup, (long long)o->updates,
            o->schedule == OPTIM_COSINE ? "cosine" : "constant", p->lora.rank, p->lora.alpha);
    for (int64_t i = 0; i < p->n_draw; i++) {
        if (i % batch == 0)
            fprintf(f, "{\"update\": %lld, \"rows\": [", (long long)(i / batch + 1));
        write_row(f, p, p->draw[i], id);
        fputs(i % batch == batch - 1 || i == p->n_draw - 1 ? "]}\n" : ", ", f);
    }
}

/* The rows that the arm's scores are of. */
static void write_tests(FILE *f, run *r, int32_t arm)
{
    err e = {0};
    asked q = {0};
    for (int32_t i = 0; i < r->rows.n_use; i++) {
        if (!arms_ask(&r->arms, arm, i, 0, &q, &e)) die(&e);
        str id = r->rows.scored.id[i];
        fprintf(f, "{\"test\": \"%.*s\", \"label\": %d, \"ids\": ", (int)id.size, id.data,
                r->rows.scored.label[i]);
        write_ids(f, q.prompt.id, q.prompt.n);
        fputs(", \"answers\": [", f);
        for (int32_t k = 0; k < q.n_answer; k++) {
            if (k) fputc(',', f);
            write_ids(f, q.answers.id + q.start.id[k], q.start.id[k + 1] - q.start.id[k]);
        }
        fputs("], \"classes\": ", f);
        write_ids(f, q.answer_class.id, q.n_answer);
        fputs("}\n", f);
    }
    asked_close(&q);
}

static void write_start(const tune_plan *p, const char *folder, arena *a)
{
    err e = {0};
    lora l;
    char path[4096];
    const adapter_about about = {.base = p->texts->engine->header.name, .patient_derived = true};
    snprintf(path, sizeof path, "%s/start", folder);
    if (!lora_lay_out(&l, &p->texts->engine->header.config, p->lora, a, &e)) die(&e);
    lora_start(&l, p->training->seed);
    if (!adapter_write(&l, path, &about, &e)) die(&e);
}

int main(int argc, char **argv)
{
    err e = {0};
    run r;
    if (argc != 4) return fputs("usage: b_tune_ids STUDY ARM FOLDER\n", stderr), 2;
    tune *t = tune_open(&(tune_options){.out = argv[3]}, &e);
    if (!t) die(&e);
    run_options o = {.study = argv[1], .maker = tune_maker(t)};
    if (!run_prepare(&r, &o, &e) || !file_make_folder(argv[3], &e)) die(&e);
    for (int32_t i = 0; i < t->n_group; i++) {
        tune_group *g = &t->group[i];
        for (int32_t k = 0; k < g->n_unit; k++) {
            if (strcmp(g->unit[k].unit, argv[2]) != 0) continue;
            file_out f;
            char path[4096];
            int32_t *id = arena_take(&t->memory, (size_t)g->unit[k].most.positions + 1, 4, &e);
            snprintf(path, sizeof path, "%s/ids.jsonl", argv[3]);
            if (!id || !file_out_open(&f, path, &e)) die(&e);
            write_updates(f.stream, &g->unit[k], id);
            write_tests(f.stream, &r, (int32_t)(g->arm - r.spec.arms) + k);
            if (!file_out_commit(&f, &e)) die(&e);
            write_start(&g->unit[k], argv[3], &t->memory);
            tune_close(t);
            run_close(&r);
            return 0;
        }
    }
    fprintf(stderr, "b_tune_ids: the study trains no adapter called %s\n", argv[2]);
    return 1;
}
