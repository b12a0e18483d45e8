/* Any bytes as a template, rendered with a small context that holds every kind of value. */
#include "text/chat.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char context_text[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\","
        " \"content\": \"  H\\u00e9llo \\ud3d0\\ub834 <b> \"}, {\"role\": \"assistant\", "
        "\"content\": null, \"tool_calls\": [{\"id\": \"123456789\", \"function\": {\"name\": "
        "\"f\", \"arguments\": {\"x\": 1.5}}}]}], \"tools\": [{\"function\": {\"name\": \"f\"}}],"
        " \"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_generation_prompt\": true,"
        " \"a\": 1, \"b\": 2.5, \"s\": \"text\", \"l\": [3, 1, 2], \"d\": {\"x\": 1, \"y\": [1]},"
        " \"n\": null, \"k\": \"\\ud3d0\", \"w\": [\"pear\", \"Fig\"], \"strftime_now\":"
        " \"2024-02-29\"}";
    err e = {0};
    buf out = buf_up_to((size_t)1 << 20);
    json_t *context = json_loads(context_text, 0, NULL);
    if (!context) abort();
    chat_template *t = chat_open((str){(const char *)data, size}, "fuzz", &e);
    bool good = t && chat_render(t, context, &out, &e);
    if (good != (e.code == ERR_NONE)) abort();
    chat_close(t);
    json_decref(context);
    buf_close(&out);
    return 0;
}
