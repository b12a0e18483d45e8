/* tune_certify: the parity certificate of a finished adapter, on the tune rows that chose it. */
#include "study/tune_certify_in.h"

#include "study/certificate.h"

#include <assert.h>

static bool tell(void *context, int done, int all)
{
    tune *t = context;
    err e = {0};
    (void)done;
    (void)all;
    return tune_tell(t, "certifying", &e);
}

bool tune_certify(tune *t, const tune_plan *p, buf *shown, err *e)
{
    char path[4096];
    certificate c;
    const tune_texts *x = p->texts;
    assert(t->run);
    if (x->n_choose == 0) {
        buf_printf(shown, "  not certified: the study has no tune rows\n");
        return true;
    }
    if (!tune_path(path, p->folder, "certificate.json", e)) return false;
    certificate_job j = {.model = x->model->path,
                               .adapter = p->folder,
                               .prompts = &x->choose,
                               .scratch = path,
                               .engine = t->run->options.engine,
                               .progress = tell,
                               .context = t};
    j.engine.device = x->engine->device; /* one rank does */
    j.engine.ranks = 0;
    t->state.unit = p->unit;
    if (!certificate_make(&j, &c, e) || !certificate_write(&c, path, e)) return false;
    certificate_describe(&c, shown);
    return certificate_check(&c, e);
}
