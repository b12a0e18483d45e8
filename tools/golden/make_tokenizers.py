#!/usr/bin/env python3
"""Small tokenizers of every kind and the ids their makers' libraries give.

    python3 tools/golden/make_tokenizers.py     (tokenizers, sentencepiece)

Trains on the text below (ours) and writes tests/golden/token/<name>/ and tests/golden/token/cases.json:
{"made_with": {..}, "texts": [..], "tokenizers": {name: {"special": bool, "ids": [[..], ..]}}}.
"special": the ids are with what the tokenizer puts before and behind a text; special tokens written in the
texts are recognised where the library does so (tokenizers: yes, sentencepiece: no).
"""
import itertools
import json
import pathlib
import shutil

import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "token"

EN_WHO = ["The patient", "A 67-year-old man", "She", "He", "This 41-year-old woman", "The child"]
EN_WHAT = [
    "was admitted with chest pain and shortness of breath",
    "denies fever, chills or weight loss",
    "doesn't smoke; drinks 2-3 beers a week",
    "had a history of type 2 diabetes and hypertension",
    "was started on metformin 500 mg twice a day",
    "reported no side effects after the second dose",
    "presented with a 3-day history of productive cough",
    "underwent coronary angiography, which showed 70% stenosis",
    "is doing well, and we'll see her again in 6 weeks",
]
EN_TAIL = [
    "Hb 9.8 g/dL, CRP 12.3 mg/L, BP 120/80.",
    "Chest X-ray: no infiltrate. ECG: sinus rhythm, 72/min.",
    "Plan: repeat echo in 12 months, and don't stop aspirin.",
    "Discharged on day 5 in good condition.",
]
KO_WHO = ["환자는", "67세 남자 환자가", "보호자에 따르면 아이는", "41세 여자는"]
KO_WHAT = [
    "흉통과 호흡곤란으로 응급실에 내원하였다",
    "발열이나 오한은 없다고 한다",
    "고혈압과 당뇨병의 과거력이 있었다",
    "3일 전부터 기침과 가래가 심해졌다",
    "두 번째 접종 후 이상 반응이 없었다",
    "관상동맥 조영술에서 70% 협착이 보였다",
]
KO_TAIL = ["혈색소 9.8, 혈압 120/80이었다.", "6주 후 외래에서 다시 보기로 하였다.", "폐렴은 보이지 않았다."]


def corpus():
    lines = [f"{a} {b}. {c}" for a, b, c in itertools.product(EN_WHO, EN_WHAT, EN_TAIL)]
    lines += [f"{a} {b}. {c}" for a, b, c in itertools.product(KO_WHO, KO_WHAT, KO_TAIL)]
    return lines


TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n", "\t", " \n", "\n \n\n ", "a", " a", "a ", " a ", "  a  b  ",
    "The patient was admitted with chest pain.",
    " The patient was admitted", "Hb 9.8 g/dL\t(↓), CRP 12.3 mg/L;  BP 120/80.\n\n- next line",
    "doesn't DOESN'T we'll WE'LL I'm 'sup 'tis", "it’s “quoted” – dash — em…", "1 12 123 1234 12345 3,141.59 ½ ² Ⅷ ①",
    "$5.00 + 10% <= x^2 ~ y|z `code` [a](b) {c} #d @e &f", "환자는 흉통과 호흡곤란으로 응급실에 내원하였다.",
    "폐렴은 보이지 않았다", "뷁쀍 희귀한 글자", "\u1112\u1161\u11ab\u1100\u1173\u11af decomposed", "e\u0301 cafe\u0301 naïve",
    "ﬁ ligature ㎎ ℃ ½ Å", "日本語とEnglishの混在", "Привет, мир! مرحبا שלום", "😀 👩‍⚕️ 🏳️‍🌈", "zero\u200bwidth nb\u00a0space ideographic\u3000space",
    "mongolian\u180eseparator line\u2028sep next\u0085line", "\u0000nul \u0001 \u007f \ufeffbom \ufffd", "UPPER lower MiXeD Ünïcödé İstanbul ſs",
    "word.word,word;word:word", "a-b_c/d\\e", "http://example.org/?q=1&r=2", "x" * 100, "ab" * 60, "흉통" * 40, " " * 70, "\n" * 33,
    "\r\nwindows\r\nlines\r", "<|user|>Hi<|end|>", "<|user|> Hi <|end|> there", "text <|end|><|end|> text", "a<|pad|>b", "<mask> a<mask>b <mask>",
    "<t>x</t>", "<t><t> <t>", "word aword word", "<s>", "x</s>", "<unk>", "<0x41>", "▁", "a▁b ▁▁", "▁The patient", "NOT A TOKEN <|nothing|>", "<|user", "<<|user|>>",
    "end with space ", "end with newline\n", "ㅋㅋㅋㅋ 진짜 재밌음ㅠㅠ", "혈압 120/80 mmHg, 체온 36.5℃",
]

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
BYTES = pre_tokenizers.ByteLevel.alphabet()


def byte_level(pre, size=640, norm=None, **options):
    t = Tokenizer(models.BPE(**options))
    if norm:
        t.normalizer = norm
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, initial_alphabet=BYTES, show_progress=False))
    return t


def split(regex, behaviour="isolated", invert=False):
    return pre_tokenizers.Split(Regex(regex), behaviour, invert=invert)


def plain_bytes():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def make_llama3():
    t = byte_level(pre_tokenizers.Sequence([split(LLAMA3), plain_bytes()]), ignore_merges=True)
    t.add_special_tokens(["<|begin|>", "<|user|>", "<|end|>"])
    bos = t.token_to_id("<|begin|>")
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", bos)]),
    ])
    return t


def make_qwen2():
    t = byte_level(pre_tokenizers.Sequence([split(QWEN2), plain_bytes()]), norm=normalizers.NFC())
    t.add_special_tokens(["<|pad|>", "<|user|>", "<|end|>"])
    t.add_tokens([AddedToken("<t>", normalized=False), AddedToken("</t>", normalized=False)])
    return t


def make_gpt2():
    t = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    t.add_special_tokens([AddedToken("<|end|>", normalized=True)])
    return t


def make_falcon():
    t = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(individual_digits=False), split("[0-9][0-9][0-9]")]))
    t.add_special_tokens(["<|user|>"])
    return t


def make_digits():
    t = byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]))
    t.add_special_tokens(["<|user|>", "<|end|>"])
    return t


def make_behaviours():
    t = byte_level(pre_tokenizers.Sequence([
        split(r"\n", "merged_with_previous"), split(r"[ -]", "merged_with_next"), split(r"\d", "contiguous"),
        split(r"[^a]+", "isolated", invert=True), split("x{3}", "removed"), split("(?=[A-Z])"),
        pre_tokenizers.Punctuation("merged_with_previous"), plain_bytes()]))
    t.add_tokens([AddedToken("word", single_word=True), AddedToken("<mask>", lstrip=True), AddedToken("<|pad|>", rstrip=True),
                  AddedToken("<|end|>", lstrip=True, rstrip=True)])
    return t


def make_characters():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"[\u2018’]"), "'"), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    t.add_tokens([AddedToken("Word", single_word=True, normalized=True), AddedToken("<|END|>", normalized=True)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return t


def make_metaspace(scheme):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=scheme == "always")
    fallback = ["<0x%02X>" % i for i in range(256)]
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=620, special_tokens=["<unk>", "<s>", "</s>"] + fallback, show_progress=False))
    data = json.loads(t.to_str())
    data["added_tokens"] = data["added_tokens"][:3]  # the byte tokens are no added tokens
    t = Tokenizer.from_str(json.dumps(data))
    t.add_special_tokens(["<|user|>", AddedToken("<|end|>", rstrip=True)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def make_unigram(fallback):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["<unk>", "<s>", "</s>"] + (["<0x%02X>" % i for i in range(256)] if fallback else [])
    t.train_from_iterator(corpus(), trainers.UnigramTrainer(vocab_size=500 if fallback else 300, unk_token="<unk>", special_tokens=special, show_progress=False))
    data = json.loads(t.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    data["model"]["byte_fallback"] = fallback
    t = Tokenizer.from_str(json.dumps(data))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return t


def make_sentencepiece(name, kind, **options):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "corpus.txt"
    text.write_text("\n".join(corpus()), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "tokenizer"), model_type=kind, normalization_rule_name="identity",
        minloglevel=2, num_threads=1, **options)
    text.unlink()
    (folder / "tokenizer.vocab").unlink()
    sp = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    kinds = lambda i: 2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 5 if sp.is_unused(i) else 1
    user = options.get("user_defined_symbols", [])
    pieces = [[sp.id_to_piece(i), sp.get_score(i), 4 if sp.id_to_piece(i) in user else kinds(i)] for i in range(sp.get_piece_size())]
    (folder / "pieces.json").write_text(json.dumps(pieces, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    # add_bos_token off: these ids are the pieces alone
    config = {"add_bos_token": False, "add_eos_token": False, "legacy": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return {"special": False, "ids": [sp.encode(t) for t in TEXTS]}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    result = {}
    makers = {
        "llama3": make_llama3, "qwen2": make_qwen2, "gpt2": make_gpt2, "falcon": make_falcon, "digits": make_digits,
        "behaviours": make_behaviours, "characters": make_characters, "metaspace-first": lambda: make_metaspace("first"),
        "metaspace-always": lambda: make_metaspace("always"), "metaspace-never": lambda: make_metaspace("never"),
        "unigram": lambda: make_unigram(False), "unigram-bytes": lambda: make_unigram(True),
    }
    for name, make in makers.items():
        t = make()
        (OUT / name).mkdir(parents=True)
        t.save(str(OUT / name / "tokenizer.json"), pretty=False)
        result[name] = {"special": True, "ids": [t.encode(x).ids for x in TEXTS]}
    # the same as gpt2, as vocab.json and merges.txt (the end token only in the configuration)
    gpt2 = json.loads((OUT / "gpt2" / "tokenizer.json").read_text(encoding="utf-8"))
    folder = OUT / "vocab-merges"
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(gpt2["model"]["vocab"], ensure_ascii=False), encoding="utf-8")
    merges = [m if isinstance(m, str) else " ".join(m) for m in gpt2["model"]["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    end = gpt2["added_tokens"][0]
    config = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, "eos_token": "<|end|>",
              "added_tokens_decoder": {str(end["id"]): {k: v for k, v in end.items() if k != "id"}}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    result["vocab-merges"] = result["gpt2"]
    result["sp-bpe"] = make_sentencepiece(
        "sp-bpe", "bpe", vocab_size=640, byte_fallback=True, character_coverage=0.99, remove_extra_whitespaces=False,
        split_digits=True, user_defined_symbols=["<t>", "word.", "[a]"], control_symbols=["<|end|>"], allow_whitespace_only_pieces=True)
    result["sp-bpe-squeeze"] = make_sentencepiece(
        "sp-bpe-squeeze", "bpe", vocab_size=420, character_coverage=0.99, add_dummy_prefix=False)
    result["sp-unigram"] = make_sentencepiece(
        "sp-unigram", "unigram", vocab_size=470, byte_fallback=True, character_coverage=0.99, user_defined_symbols=["<t>", "pain"])
    made = {"script": "tools/golden/make_tokenizers.py", "tokenizers": tokenizers.__version__, "sentencepiece": sentencepiece.__version__}
    (OUT / "cases.json").write_text(json.dumps({"made_with": made, "texts": TEXTS, "tokenizers": result}, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
