"""Known answers of rouge-score, sacreBLEU and NLTK for src/stats/overlap, on texts made up here.
Usage, from the root: python3 tools/golden/overlap.py > tests/golden/overlap.json"""
import json
import random
from importlib.metadata import version

import sacrebleu
from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF

random.seed(5)
subject = ["The patient", "She", "He", "A 63-year-old man", "The infant", "환자는", "Mrs. Kim"]
verb = ["reported", "denied", "was admitted with", "developed", "had no", "is recovering from", "호소함:"]
thing = ["chest pain", "a rash (itching, 2-3 cm)", "shortness of breath; SpO2 91.5%", "nausea & vomiting",
         "흉통과 호흡곤란", "a fever of 38,9 °C", "post-operative bleeding", "seizures -- twice", "두통"]
tail = ["after vaccination.", "since yesterday!", "for 3 days.", "at home, then in hospital.", "수술 후.", "on 12/03/2024?"]


def sentence():
    return " ".join([random.choice(subject), random.choice(verb), random.choice(thing), random.choice(tail)])


def noisy(s):
    words = [w for w in s.split() if random.random() > 0.2]
    if len(words) > 3 and random.random() < 0.5:
        i = random.randrange(len(words) - 1)
        words[i], words[i + 1] = words[i + 1], words[i]
    return " ".join(words)


pairs = []
for _ in range(12):
    ref = "\n".join(sentence() for _ in range(random.randint(1, 4)))
    pairs.append((ref, "\n".join(noisy(s) for s in ref.split("\n") if random.random() > 0.15)))
out = {"made_by": f"tools/golden/overlap.py, rouge-score {version('rouge-score')}, sacrebleu {sacrebleu.__version__}, "
                  f"nltk {version('nltk')}", "rouge": [], "bleu": [], "chrf": []}
for stem in (False, True):
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"], use_stemmer=stem)
    for ref, hyp in pairs:
        for kind, s in scorer.score(ref, hyp).items():
            if stem and kind != "rouge1":
                continue
            out["rouge"].append({"reference": ref, "generated": hyp, "kind": kind, "stem": stem,
                                 "precision": s.precision, "recall": s.recall, "f": s.fmeasure})
hyps = [h.replace("\n", " ") for _, h in pairs]
refs = [r.replace("\n", " ") for r, _ in pairs]
refs2 = [noisy(r) for r in refs]
out["generated"], out["references"] = hyps, [refs, refs2]
for tokenize in ("13a", "none", "intl"):
    for smooth in ("exp", "none"):
        for streams in ([refs], [refs, refs2]):
            b = BLEU(tokenize=tokenize, smooth_method=smooth).corpus_score(hyps, streams)
            out["bleu"].append({"tokenize": tokenize, "smooth": smooth, "n_reference": len(streams), "score": b.score})
for beta in (2, 3):
    for eps in (False, True):
        for streams in ([refs], [refs, refs2]):
            c = CHRF(beta=beta, eps_smoothing=eps).corpus_score(hyps, streams)
            out["chrf"].append({"beta": beta, "every_order": eps, "n_reference": len(streams), "score": c.score})
words = """caresses ponies ties caress cats feed agreed plastered bled motoring sing conflated troubled sized hopping tanned
falling hissing fizzed failing filing happy sky relational conditional rational valenci hesitanci digitizer conformabli
radicalli differentli vileli analogousli vietnamization predication operator feudalism decisiveness hopefulness
callousness formaliti sensitiviti sensibiliti triplicate formative formalize electriciti electrical hopeful goodness
revival allowance inference airliner gyroscopic adjustable defensible irritant replacement adjustment dependent adoption
homologou communism activate angulariti homologous effective bowdlerize probate rate cease controll roll
metastatic metastases hospitalization hospitalized bleeding seizures vomiting vaccination reactions anaphylaxis
cardiology radiology pathological dizziness breathing inflammatory recurrently yearly lying spied employees agreement
generalizations oscillators excision incision lesion fusion possibly nobly psychology ecologically""".split()
p = PorterStemmer(mode=PorterStemmer.MARTIN_EXTENSIONS)
out["stems"] = {w: p.stem(w) for w in words}
print(json.dumps(out, ensure_ascii=False, indent=0))
