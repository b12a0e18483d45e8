/* Long commands that are told to stop, at every moment at which they ask: nothing half-written is
 * left, what was there before is as it was, the error says so. Runs and trainings, which go on
 * later: t_study.c, t_tune.c, tests/cli. */
#include "study_adapter.h" /* beside this file */

#include <dirent.h>

/* Files of a folder, by the sum of their names; *n how many. */
static uint64_t names_of(const char *folder, int *n)
{
    uint64_t sum = 0;
    DIR *d = opendir(folder);
    *n = 0;
    for (struct dirent *f; d && (f = readdir(d));) {
        uint64_t h = 1469598103934665603u;
        if (f->d_name[0] == '.' && (!f->d_name[1] || f->d_name[1] == '.')) continue;
        for (const char *c = f->d_name; *c; c++) h = (h ^ (unsigned char)*c) * 1099511628211u;
        sum += h;
        ++*n;
    }
    if (d) closedir(d);
    return sum;
}

typedef bool command(world *w);

/* Stops it at the first call of progress, the second, .. until it is through. `grows`: whole files
 * may be added on the way. */
static void stop_everywhere(world *w, command *run, const char *folder, bool grows)
{
    int n_before = 0, n_after = 0;
    const uint64_t before = names_of(folder, &n_before);
    for (w->stop_at = 0;; w->stop_at += 1 + w->stop_at / 6) {
        w->calls = 0;
        w->e = (caseload_error){0};
        if (run(w)) break;
        if (w->e.code != CASELOAD_STOPPED) fail_msg("%s (code %d)", w->e.text, w->e.code);
        const uint64_t after = names_of(folder, &n_after);
        if (!grows) assert_true(after == before && n_after == n_before);
    }
    assert_true(w->stop_at >= 2); /* it asked often enough to be stopped */
}

static bool certify_one(world *w)
{
    char model[100], adapter[100];
    snprintf(model, sizeof model, "%s/model.gguf", w->dir);
    snprintf(adapter, sizeof adapter, "%s/adapter", w->dir);
    const caseload_certify_options o = {.model = model,
                                        .adapter = adapter,
                                        .study = w->study,
                                        .engine = {.threads = 1},
                                        .progress = stopper,
                                        .context = w};
    return caseload_certify(&o, &w->e);
}

static void test_certify(void **state)
{
    (void)state;
    world w;
    char adapter[100];
    open_world(&w, "smollm2", true);
    write_adapter(&w, "adapter", 5);
    snprintf(adapter, sizeof adapter, "%s/adapter", w.dir);
    stop_everywhere(&w, certify_one, adapter, false);
    close_world(&w);
}

static bool merge_one(world *w)
{
    char model[100], adapter[100], out[100];
    snprintf(model, sizeof model, "%s/model.gguf", w->dir);
    snprintf(adapter, sizeof adapter, "%s/adapter", w->dir);
    snprintf(out, sizeof out, "%s/merged.gguf", w->dir);
    const caseload_convert_options o = {.model = model,
                                        .adapter = adapter,
                                        .out = out,
                                        .threads = 1,
                                        .progress = stopper,
                                        .context = w};
    return caseload_convert(&o, &w->e);
}

static void test_merge(void **state)
{
    (void)state;
    world w;
    open_world(&w, "smollm2", true);
    write_adapter(&w, "adapter", 5);
    stop_everywhere(&w, merge_one, w.dir, false);
    close_world(&w);
}

static bool refine_one(world *w)
{
    const caseload_refine_options o = {.study = w->study,
                                       .engine = {.threads = 1},
                                       .proposals = 2,
                                       .seed = 1,
                                       .progress = stopper,
                                       .context = w};
    return caseload_refine(&o, NULL, NULL, &w->e);
}

/* The tiny models are made for prompts of 256 tokens; this one for 2,048. */
static void allow_long_prompts(const world *w)
{
    size_t n = 0;
    char longer[4000];
    char *config = read_file(w->dir, "model/config.json", &n);
    char *key = config ? strstr(config, "\"max_position_embeddings\": 256") : NULL;
    assert_non_null(key);
    char *value = strstr(key, "256");
    snprintf(longer, sizeof longer, "%.*s2048%s", (int)(value - config), config, value + 3);
    write_text(w->dir, "model/config.json", longer);
    free(config);
}

static void test_refine(void **state)
{
    (void)state;
    world w;
    char versions[100];
    int n = 0;
    open_world(&w, "smollm2", false);
    allow_long_prompts(&w);
    write_study(&w, "model", "question: Was the event of a serious kind?\n");
    snprintf(versions, sizeof versions, "%s/prompts", w.dir);
    stop_everywhere(&w, refine_one, versions, true);
    names_of(versions, &n);
    assert_true(n >= 1);
    const caseload_prompts_options o = {.study = w.study}; /* each version that stands is whole */
    if (!caseload_prompts(&o, NULL, NULL, &w.e)) fail_msg("%s", w.e.text);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certify),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_refine),
    };
    return cmocka_run_group_tests_name("stop", tests, NULL, NULL);
}
