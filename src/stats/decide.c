/* decide: see decide.h. */
#include "stats/decide.h"

#include <assert.h>

stat_status decide_curve(const decide_rows *rows, const double *threshold, int32_t n,
                         decide_point *point)
{
    stat_status status = stat_check_probabilities(rows->p, rows->n);
    if (status != STAT_OK) return status;
    double total = 0, events = 0;
    for (int64_t i = 0; i < rows->n; i++) {
        double w = rows->weight ? rows->weight[i] : 1;
        total += w;
        events += w * rows->positive[i];
    }
    if (events == 0) return STAT_ONE_CLASS;
    for (int32_t k = 0; k < n; k++) {
        assert(threshold[k] >= 0 && threshold[k] < 1);
        double called[2] = {0, 0}, odds = threshold[k] / (1 - threshold[k]);
        for (int64_t i = 0; i < rows->n; i++) {
            if (rows->p[i] >= threshold[k])
                called[rows->positive[i]] += rows->weight ? rows->weight[i] : 1;
        }
        point[k].threshold = threshold[k];
        point[k].model = (called[1] - called[0] * odds) / total;
        point[k].all = (events - (total - events) * odds) / total;
        point[k].standardised = point[k].model / (events / total);
    }
    return STAT_OK;
}
