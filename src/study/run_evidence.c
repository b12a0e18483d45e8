/* run_evidence: what a study declares about its evidence, and what the parts of its table hold, as
 * facts of its store. */
#include "data/profile.h"
#include "study/run_in.h"

#include <assert.h>
#include <stdio.h>

static bool set_share(run *r, const char *key, double x, err *e)
{
    char text[40];
    snprintf(text, sizeof text, "%.17g", x);
    return store_set(r->store, key, str_of(text), e);
}

static bool record_profile(run *r, err *e)
{
    buf json = buf_up_to(16 << 20);
    bool ok = profile_write(&r->rows, &r->spec, &r->table, &r->memory, &json, e) &&
              store_set(r->store, "profile", buf_view(&json), e);
    buf_close(&json);
    return ok;
}

bool run_record_evidence(run *r, err *e)
{
    const spec_evidence *v = &r->spec.evidence;
    char n[32];
    assert(r->store);
    snprintf(n, sizeof n, "%d", r->rows.n_use);
    str first = v->compare.n ? v->compare.item[0].text : STR("");
    str second = v->compare.n ? v->compare.item[1].text : STR("");
    return store_set(r->store, "rows_use", str_of(n), e) &&
           store_set(r->store, "operating_point", str_of(spec_point_name(v->point)), e) &&
           set_share(r, "operating_target", v->target, e) &&
           store_set(r->store, "recalibrate", str_of(spec_recalibrate_name(v->recalibrate)), e) &&
           store_set(r->store, "primary_first", first, e) &&
           store_set(r->store, "primary_second", second, e) &&
           set_share(r, "primary_margin", v->margin, e) && record_profile(r, e);
}
