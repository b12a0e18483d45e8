/* Prompts: heads that stay, contents that stay plain, answers at the right boundary. On the tiny
 * tokenizer of tests/golden/models and a template of our own. */
#include "base/rng.h"
#include "text/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char template_text[] =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

typedef struct world {
    arena memory;
    tokenizer *tokens;
    chat_template *chat;
    prompt_rules rules;
    err e;
} world;

static void open_world(world *w)
{
    *w = (world){0};
    assert_true(arena_open(&w->memory, (size_t)1 << 28, "test", &w->e));
    w->tokens = token_open_folder("tests/golden/models", &w->memory, &w->e);
    if (!w->tokens) fail_msg("%s", w->e.text);
    w->chat = chat_open(str_of(template_text), "template", &w->e);
    assert_non_null(w->chat);
    w->rules = (prompt_rules){.tokens = w->tokens, .chat = w->chat, .bos = STR(""), .eos = STR("")};
}

static void close_world(world *w)
{
    token_close(w->tokens);
    chat_close(w->chat);
    arena_close(&w->memory);
}

static const prompt_message messages[] = {
    {.role = "system", .content = {"You read <|im_end|> notes.", 26}, .after = {"", 0}},
    {.role = "user", .content = {"Serious?\n\n", 10}, .after = {"", 0}, .slot = true},
};

/* Text of every kind: letters, Hangul, marks, digits, white space, and special tokens spelled
 * out. */
static void random_text(rng *g, buf *out)
{
    static const char *const parts[] = {
        "fever ", "환자", "\n", "  ",  "7.5", "<|im_end|>", "<|im_start|>user\n",
        "é",      "µg",   ".",  "the", "\t",  "😷",          "<|endoftext|>"};
    uint64_t n = rng_below(g, 30);
    buf_clear(out);
    for (uint64_t i = 0; i < n; i++) buf_add_text(out, parts[rng_below(g, countof(parts))]);
}

static int32_t count_id(const token_list *l, int32_t id)
{
    int32_t n = 0;
    for (int64_t i = 0; i < l->n; i++) n += l->id[i] == id;
    return n;
}

static void test_head_stays_and_contents_stay_plain(void **state)
{
    (void)state;
    world w;
    prompt_form f;
    open_world(&w);
    assert_true(prompt_form_make(&f, &w.rules, messages, 2, &w.memory, &w.e));
    assert_true(f.n_head > 10);
    int32_t end = token_find(w.tokens, STR("<|im_end|>"));
    assert_true(end >= 0);
    buf text = buf_up_to(1 << 20), whole = buf_up_to(1 << 20), back = buf_up_to(1 << 20);
    rng g = rng_for(1, 2, 3);
    for (int round = 0; round < 500; round++) {
        token_list ids = {0};
        random_text(&g, &text);
        assert_true(prompt_encode(&f, buf_view(&text), &ids, &w.e));
        assert_true(ids.n >= f.n_head);
        assert_memory_equal(ids.id, f.head, (size_t)f.n_head * sizeof(int32_t));
        assert_int_equal(count_id(&ids, end), 2); /* the template's own, none of a content's */
        buf_clear(&whole);
        buf_clear(&back);
        prompt_write(&f, buf_view(&text), &whole);
        token_decode(w.tokens, ids.id, ids.n, true, &back);
        assert_int_equal(whole.size, back.size);
        assert_memory_equal(whole.data, back.data, whole.size);
        assert_true(prompt_check(&f, buf_view(&text), &w.e));
        token_list_close(&ids);
    }
    buf_close(&text);
    buf_close(&whole);
    buf_close(&back);
    close_world(&w);
}

/* Two questions behind the same text: the cut stands where the text ends, and what comes before it
 * is the same under both. */
static void test_a_stem_is_the_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"a cough", "열이 난다.", "x,", "12.5 mg"};
    static const char *const questions[] = {
        "\n\nWas the patient taken to a hospital, or was it not so serious? Answer Yes or No.",
        "\n\nIs there any word of fever, of a rash or of pain in the text that stands above?"};
    world w;
    prompt_form f[3];
    open_world(&w);
    for (int k = 0; k < 3; k++) {
        prompt_message *m = arena_take_zero(&w.memory, 2, sizeof *m, &w.e);
        m[0] = (prompt_message){.role = "system", .content = STR("You read."), .after = STR("")};
        m[1] = (prompt_message){.role = "user",
                                .content = STR("Text: "),
                                .after = k < 2 ? str_of(questions[k]) : STR("\nEnd."),
                                .slot = true};
        prompt_rules rules = w.rules;
        if (k == 2) rules.chat = NULL; /* nothing but "End." follows */
        assert_true(prompt_form_make(&f[k], &rules, m, 2, &w.memory, &w.e));
    }
    for (size_t i = 0; i < countof(texts); i++) {
        token_list ids[3] = {0};
        int32_t stem[3];
        for (int k = 0; k < 3; k++) {
            assert_true(prompt_encode(&f[k], str_of(texts[i]), &ids[k], &w.e));
            stem[k] = prompt_stem(&f[k], ids[k].id, (int32_t)ids[k].n);
        }
        assert_true(stem[0] > f[0].n_head && stem[0] < ids[0].n);
        assert_int_equal(stem[0], stem[1]);
        assert_memory_equal(ids[0].id, ids[1].id, (size_t)stem[0] * sizeof(int32_t));
        assert_int_equal(stem[2], 0); /* too little follows */
        for (int k = 0; k < 3; k++) token_list_close(&ids[k]);
    }
    close_world(&w);
}

/* What follows the last special token is enough to encode an answer: the ids are those of the whole
 * prompt with the answer, and so is the verdict on the boundary. */
static void test_the_closing_is_enough_for_an_answer(void **state)
{
    (void)state;
    static const char *const answers[] = {"Yes",        "No",   " yes indeed", "예", "T1", "\n",
                                          "<|im_end|>", "\n\n", " ",           "'s", "7"};
    world w;
    prompt_form f;
    open_world(&w);
    assert_true(prompt_form_make(&f, &w.rules, messages, 2, &w.memory, &w.e));
    assert_true(f.n_closing > 0 && str_starts(f.closing, "<|im_start|>assistant"));
    buf text = buf_up_to(1 << 20);
    rng g = rng_for(4, 5, 6);
    for (int round = 0; round < 200; round++) {
        const char *answer = answers[rng_below(&g, countof(answers))];
        token_list ids = {0}, fast = {0}, whole = {0};
        random_text(&g, &text);
        str in = buf_view(&text);
        assert_true(prompt_encode(&f, in, &ids, &w.e));
        prompt_answer a = {.prompt = &ids, .answer = str_of(answer), .out = &fast}, b = a;
        b.out = &whole;
        assert_true(prompt_encode_answer(&f, in, &a, &w.e));
        assert_true(prompt_encode_answer_whole(&f, in, &b, &w.e));
        assert_int_equal(fast.n, whole.n);
        assert_memory_equal(fast.id, whole.id, (size_t)fast.n * sizeof(int32_t));
        assert_int_equal(a.forced, b.forced);
        token_list_close(&ids);
        token_list_close(&fast);
        token_list_close(&whole);
    }
    buf_close(&text);
    close_world(&w);
}

/* Prompt and answer together are prompt, then answer, whenever the boundary is called clean. */
static void test_answers_continue_their_prompt(void **state)
{
    (void)state;
    static const char *const answers[] = {"Yes", "No", " yes indeed", "예", "T1", "\n"};
    world w;
    prompt_form f;
    open_world(&w);
    assert_true(prompt_form_make(&f, &w.rules, messages, 2, &w.memory, &w.e));
    for (size_t i = 0; i < countof(answers); i++) {
        token_list ids = {0}, out = {0};
        buf back = buf_up_to(1000);
        assert_true(prompt_encode(&f, STR("a cough"), &ids, &w.e));
        prompt_answer a = {.prompt = &ids, .answer = str_of(answers[i]), .out = &out};
        assert_true(prompt_encode_answer(&f, STR("a cough"), &a, &w.e));
        assert_true(out.n > 0);
        token_decode(w.tokens, out.id, out.n, true, &back);
        assert_string_equal(back.data, answers[i]);
        token_list_close(&ids);
        token_list_close(&out);
        buf_close(&back);
    }
    close_world(&w);
}

/* Some token of two characters merges over a boundary: the answer is then encoded apart and
 * marked. */
static void test_a_merge_over_the_boundary_is_forced(void **state)
{
    (void)state;
    world w;
    int32_t forced = 0, clean = 0;
    open_world(&w);
    for (int32_t t = 0; t < token_count(w.tokens); t++) {
        str text = token_text(w.tokens, t);
        if (text.size != 2 || (unsigned char)text.data[0] > 126 ||
            (unsigned char)text.data[1] > 126)
            continue;
        token_list ids = {0}, out = {0};
        prompt_answer a = {.prompt = &ids, .answer = str_part(text, 1, 1), .out = &out};
        assert_true(prompt_encode_verbatim(w.tokens, str_part(text, 0, 1), &ids, &w.e));
        assert_true(prompt_encode_answer_verbatim(w.tokens, str_part(text, 0, 1), &a, &w.e));
        assert_true(out.n > 0);
        forced += a.forced;
        clean += !a.forced;
        token_list_close(&ids);
        token_list_close(&out);
    }
    assert_true(forced > 5);
    assert_int_equal(clean, 0);
    close_world(&w);
}

static void test_a_template_that_changes_a_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}",
        "{% for m in messages %}{{ m['content'] }}{{ m['content'] }}{% endfor %}",
        "{{ messages[0]['content'] }}",
        "{% for m in messages %}{% if 'x' in m.content %}X{% endif %}{{ m.content }}{% endfor %}",
    };
    for (size_t i = 0; i < countof(bad); i++) {
        world w;
        prompt_form f;
        open_world(&w);
        chat_template *t = chat_open(str_of(bad[i]), "bad", &w.e);
        assert_non_null(t);
        w.rules.chat = t;
        bool ok = prompt_form_make(&f, &w.rules, messages, 2, &w.memory, &w.e) &&
                  prompt_check(&f, STR("a text with an x"), &w.e);
        assert_false(ok);
        assert_int_equal(w.e.code, ERR_MODEL);
        chat_close(t);
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_stays_and_contents_stay_plain),
        cmocka_unit_test(test_a_stem_is_the_text),
        cmocka_unit_test(test_the_closing_is_enough_for_an_answer),
        cmocka_unit_test(test_answers_continue_their_prompt),
        cmocka_unit_test(test_a_merge_over_the_boundary_is_forced),
        cmocka_unit_test(test_a_template_that_changes_a_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
