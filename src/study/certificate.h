/* certificate: does an adapter say the same in every form in which it is handed on?
 *
 * The same prompts (the first CERTIFICATE_TEXTS of a study's tune rows) and answers are scored with
 * the adapter beside its base, and again in each form:
 *
 *   PEFT round trip      the adapter's folder read, written, read again, beside the base
 *   GGUF adapter         the adapter as a GGUF file, read again, beside the base
 *   merged folder        merged into the base as safetensors, F32
 *   merged GGUF          merged into the base as a GGUF file, F32
 *   a model given        for example what `caseload merge` wrote, in any number type
 *
 * What is compared are the log-probabilities of the answers, in nats. A difference beyond rounding
 * is a failure. Bounds, and why:
 *
 *   beside the base      0: the numbers are the same, and so is every sum. (An alpha that a float32
 *                        cannot hold: 1e-4.)
 *   F32                  1e-3: each merged weight is rounded once by 2^-25 at most, and products
 *                        with W + BA sum in another order than W and BA apart; 1e-5 is usual
 *   other types          60 r, at least 1e-3, r being the type's usual relative error: F16 2.9e-4,
 *                        BF16 2.4e-3, Q8_0 5.5e-3, INT8 8.5e-3, Q6_K 0.018, Q5 0.037, Q4 0.085,
 *                        NF4 0.095. Measured on models of eight families: 10 to 30 r. A wrong row,
 *                        scale or transposition shows as the adapter's whole effect
 */
#ifndef CASELOAD_STUDY_CERTIFICATE_H
#define CASELOAD_STUDY_CERTIFICATE_H

#include "study/engine.h"

enum { CERTIFICATE_TEXTS = 50, CERTIFICATE_FORMS = 5 };

typedef struct certificate_form {
    const char *name, *type; /* type: of the coarsest matrix */
    double worst, mean;      /* differences of log-probabilities, nats */
    double bound;
    bool within;
} certificate_form;

typedef struct certificate {
    const char *base, *adapter; /* paths, borrowed of the job */
    hash_text adapter_hash;
    double alpha;
    int32_t rank, n_text;
    int64_t n_answer; /* log-probabilities compared in each form */
    int n_form;
    certificate_form form[CERTIFICATE_FORMS];
    bool passed;
} certificate;

typedef struct certificate_job {
    const char *model, *adapter; /* base, and the adapter trained on it */
    const tree *prompts;         /* cases and their answers; the first CERTIFICATE_TEXTS count */
    const char *given;           /* a merged model to be compared too; NULL: none */
    bool given_only;             /* only that one, and the two forms beside the base */
    const char *scratch;         /* names of files to be made and removed begin with this path */
    engine_options engine;       /* its model is not used */
    bool (*progress)(void *context, int done, int all); /* forms; NULL: none; false stops, and
                                                         * leaves no form behind */
    void *context;
} certificate_job;

/* Makes every form, scores it, removes it. False: it could not be made (ERR_RESOURCE: no disk). */
bool certificate_make(const certificate_job *j, certificate *c, err *e);

/* `path` (certificate.json), atomically; a table for people; the sentence of a failure. */
bool certificate_write(const certificate *c, const char *path, err *e);
void certificate_describe(const certificate *c, buf *out);
bool certificate_check(const certificate *c, err *e); /* ERR_MODEL unless it passed */

#endif
