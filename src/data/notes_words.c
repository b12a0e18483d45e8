/* notes_words: the sentences of synthetic notes, written for this program. A style is one row of a
 * table.
 *
 * Korean: words in braces are followed by words that need no particle chosen by their last sound
 * ("{severe} 발생", "{drug} 복용"). */
#include "data/notes_in.h"

#include <stddef.h>

/* ---- English ---- */

static const char *const drug_en[] = {"amoxicillin",
                                      "ibuprofen",
                                      "an influenza vaccine",
                                      "lisinopril",
                                      "carbamazepine",
                                      "metformin",
                                      "a tetanus booster",
                                      "ciprofloxacin",
                                      "warfarin",
                                      "allopurinol",
                                      "sertraline",
                                      "contrast medium",
                                      "clopidogrel",
                                      "a hepatitis B vaccine",
                                      "diclofenac",
                                      "trimethoprim",
                                      "insulin",
                                      "methotrexate",
                                      NULL};

static const char *const severe_en[] = {"anaphylactic shock",
                                        "a generalised seizure",
                                        "acute liver failure",
                                        "a gastrointestinal haemorrhage",
                                        "Stevens-Johnson syndrome",
                                        "respiratory failure",
                                        "septic shock",
                                        "acute kidney failure with dialysis",
                                        "ventricular tachycardia",
                                        "an intracranial haemorrhage",
                                        "Guillain-Barre syndrome",
                                        "a coma from low blood sugar",
                                        "cardiac arrest",
                                        "swelling of the throat with loss of consciousness",
                                        NULL};

static const char *const mild_en[] = {"a mild headache",
                                      "redness at the injection site",
                                      "some nausea",
                                      "a short itchy rash on the arms",
                                      "loose stools",
                                      "a dry mouth",
                                      "tiredness",
                                      "slight dizziness on standing",
                                      "a temperature of 37.8",
                                      "a metallic taste",
                                      "heartburn",
                                      "poor sleep",
                                      "a sore arm",
                                      "a runny nose",
                                      NULL};

static const char *const opening_ward_en[] = {
    "{age}-year-old {man}, given {drug} {days} days ago.",
    "This {age}-year-old {man} had started {drug} that week.",
    "A {man} of {age} years took the first dose of {drug}.",
    "Report on a {man} aged {age} after treatment with {drug}.",
    "A {man}, {age} years old, received {drug} in the morning.",
    NULL};

static const char *const course_serious_ward_en[] = {
    "Within {hours} hours {he} developed {severe} and was taken to the emergency department by "
    "ambulance.",
    "After {hours} hours {he} was found with {severe}.",
    "{He} went on to have {severe} and had to be resuscitated.",
    "The following day {severe} was diagnosed, a life-threatening reaction.",
    "{He} collapsed at home; the emergency team found {severe}.",
    "{He} came in with {mild}, which turned into {severe} within {hours} hours.",
    NULL};

static const char *const course_mild_ward_en[] = {
    "Within {hours} hours {he} noticed {mild}.",
    "The next morning {he} reported {mild}, otherwise well.",
    "{He} telephoned the practice because of {mild}.",
    "At the routine visit {he} mentioned {mild} since the second dose.",
    "{He} complained of {mild} and was seen as an outpatient.",
    "{He} had {mild} for {hours} hours.",
    NULL};

static const char *const outcome_serious_ward_en[] = {
    "{He} was admitted to intensive care and stayed {days} days.",
    "{He} was intubated and ventilated for {days} days.",
    "{He} died {days} days later.",
    "{He} was hospitalised for {days} days.",
    "{He} survived but was left with a permanent disability.",
    "Emergency surgery was needed and the hospital stay was long.",
    "{His} condition was critical on admission; the family was called.",
    NULL};

static const char *const outcome_mild_ward_en[] = {
    "It settled within {days} days without treatment.",
    "Paracetamol was enough and {he} stayed at home.",
    "The medicine was continued and the complaint went away.",
    "{He} was back at work the next day.",
    "{He} was reassured; nothing else was needed.",
    "{He} felt well again by the evening.",
    "Recovered fully with rest and fluids at home.",
    NULL};

static const char *const against_serious_ward_en[] = {
    "There was no evidence of {severe} and admission was not needed.",
    "{severe} was considered and ruled out.",
    "History of {severe} in {year}, for which {he} was in hospital; nothing of the kind now.",
    "{His} mother died of {severe} last year, so {he} was worried.",
    "No hospital stay, no emergency visit, no sign of {other}.",
    "{He} had read about {severe} in the leaflet and asked about it.",
    "In {year} {he} had been in intensive care after a road accident.",
    NULL};

static const char *const against_mild_ward_en[] = {
    "Earlier doses had caused only {mild}, which settled by itself.",
    "There was no rash and no fever.",
    "{His} sister had only {mild} with the same medicine.",
    "In {year} {he} had taken it without any problem.",
    "At first it was thought to be no more than {mild}.",
    NULL};

static const char *const tail_ward_en[] = {"No known allergies.",
                                           "Non-smoker.",
                                           "Takes no other medicine.",
                                           "Reported by the ward pharmacist.",
                                           "Blood pressure treated for years.",
                                           "Lives with family.",
                                           "The batch number was recorded.",
                                           NULL};

static const char *const opening_clinic_en[] = {"{age}{sex}, {drug} started {days}d ago.",
                                                "{age}{sex} on {drug}.",
                                                "Pt {age}{sex}, s/p {drug}.",
                                                "{age} yo {sex}, day {days} of {drug}.",
                                                "{sex}/{age}. Rx {drug}.",
                                                NULL};

static const char *const course_serious_clinic_en[] = {
    "{hours}h later: {severe}, 911 called.",
    "Found down, {severe}. To ER.",
    "Now {severe}, life threatening.",
    "c/o {mild} first, then {severe} after {hours}h.",
    "{severe} on day {days}, ambulance to hospital.",
    NULL};

static const char *const course_mild_clinic_en[] = {"c/o {mild} x {hours}h.",
                                                    "{mild} since yesterday, otherwise ok.",
                                                    "Phoned in: {mild}.",
                                                    "Walk-in with {mild}, vitals normal.",
                                                    "{mild} after dose, no other complaint.",
                                                    NULL};

static const char *const outcome_serious_clinic_en[] = {"Admitted ICU {days}d.",
                                                        "Intubated, vent {days}d.",
                                                        "Died day {days}.",
                                                        "Hospitalized {days} days.",
                                                        "Discharged to rehab, permanent deficit.",
                                                        "OR emergently, prolonged hospital stay.",
                                                        NULL};

static const char *const outcome_mild_clinic_en[] = {"Resolved in {days}d, no tx.",
                                                     "Sent home, OTC only.",
                                                     "Continue med, f/u prn.",
                                                     "Better next day.",
                                                     "Reassured, d/c home.",
                                                     "Recovered, no ER visit.",
                                                     NULL};

static const char *const against_serious_clinic_en[] = {"No {severe}. No admission.",
                                                        "r/o {severe}: negative.",
                                                        "PMH {severe} {year}, hospitalized then.",
                                                        "FHx: mother died of {severe}.",
                                                        "Pt afraid of {severe}, none seen.",
                                                        NULL};

static const char *const against_mild_clinic_en[] = {"Prior dose: only {mild}.",
                                                     "No rash, afebrile.",
                                                     "Tolerated same med {year}.",
                                                     "FHx: sister {mild} only.", NULL};

static const char *const tail_clinic_en[] = {"NKDA.",      "Non-smoker.",    "No other meds.",
                                             "HTN on tx.", "Lot # on file.", "Seen by NP.",
                                             NULL};

/* ---- Korean ---- */

static const char *const drug_ko[] = {"아목시실린",  "이부프로펜",     "독감 백신",
                                      "리시노프릴",  "카르바마제핀",   "메트포르민",
                                      "파상풍 백신", "와파린",         "알로푸리놀",
                                      "조영제",      "클로피도그렐",   "디클로페낙",
                                      "인슐린",      "메토트렉세이트", NULL};

static const char *const severe_ko[] = {
    "아나필락시스 쇼크", "전신 경련",   "급성 간부전", "위장관 출혈",        "스티븐스-존슨 증후군",
    "호흡 부전",         "패혈성 쇼크", "급성 신부전", "심실 빈맥",          "뇌출혈",
    "길랭-바레 증후군",  "저혈당 혼수", "심정지",      "의식 소실과 저혈압", NULL};

static const char *const mild_ko[] = {"가벼운 두통",     "주사 부위 발적", "메스꺼움",
                                      "일시적인 가려움", "묽은 변",        "입 마름",
                                      "피로감",          "가벼운 어지럼",  "미열 37.8도",
                                      "입안의 쓴맛",     "속쓰림",         "불면",
                                      "팔 통증",         "콧물",           NULL};

static const char *const opening_ward_ko[] = {
    "{age}세 {man} 환자로 {days}일 전 {drug} 투여를 받았다.",
    "{age}세 {man}, 이번 주부터 {drug} 복용을 시작하였다.",
    "{drug} 첫 투여를 받은 {age}세 {man} 환자의 보고이다.",
    "환자는 {age}세 {man}으로 아침에 {drug} 투여를 받았다.", NULL};

static const char *const course_serious_ward_ko[] = {
    "{hours}시간 뒤 {severe} 발생하여 구급차로 응급실에 이송되었다.",
    "{hours}시간 뒤 {severe} 상태로 발견되었다.",
    "이후 {severe} 진행하여 심폐소생술을 시행하였다.",
    "다음 날 생명을 위협하는 {severe} 진단을 받았다.",
    "처음에는 {mild} 정도였으나 {hours}시간 뒤 {severe} 발생하였다.",
    NULL};

static const char *const course_mild_ward_ko[] = {
    "{hours}시간 뒤 {mild} 증상이 있었다.", "다음 날 아침 {mild} 외에는 특별한 증상이 없었다.",
    "{mild} 증상으로 전화 문의를 하였다.",  "정기 외래에서 {mild} 증상을 말하였다.",
    "{mild} 호소하여 외래에서 진료하였다.", NULL};

static const char *const outcome_serious_ward_ko[] = {
    "중환자실에 입원하여 {days}일간 치료받았다.",
    "기관 삽관 후 {days}일간 인공호흡기 치료를 하였다.",
    "{days}일 뒤 사망하였다.",
    "{days}일간 입원 치료가 필요하였다.",
    "회복하였으나 영구적인 장애가 남았다.",
    "응급 수술을 시행하였고 입원 기간이 길어졌다.",
    NULL};

static const char *const outcome_mild_ward_ko[] = {"치료 없이 {days}일 안에 호전되었다.",
                                                   "해열제만 복용하고 집에서 지냈다.",
                                                   "약을 계속 복용하였고 증상은 사라졌다.",
                                                   "다음 날 정상적으로 출근하였다.",
                                                   "안심시키고 귀가하였다.",
                                                   "저녁에는 완전히 회복되었다.",
                                                   NULL};

static const char *const against_serious_ward_ko[] = {
    "{severe} 소견은 없었고 입원은 필요하지 않았다.",
    "{severe} 의심하였으나 배제되었다.",
    "{year}년에 {severe} 병력으로 입원한 적이 있으나 현재는 이상 없다.",
    "작년에 어머니가 {severe} 진단 후 사망하여 걱정이 많았다.",
    "응급실 방문이나 입원은 없었고 {other} 소견도 없었다.",
    NULL};

static const char *const against_mild_ward_ko[] = {
    "이전 투여 때는 {mild} 정도만 있었다.", "발진과 발열은 없었다.",
    "여동생은 같은 약에 {mild} 정도만 있었다고 한다.", "{year}년에는 문제없이 복용하였다.", NULL};

static const char *const tail_ward_ko[] = {"알려진 알레르기는 없다.",
                                           "비흡연자이다.",
                                           "다른 복용 약은 없다.",
                                           "병동 약사가 보고하였다.",
                                           "고혈압으로 치료 중이다.",
                                           "제조 번호를 기록하였다.",
                                           NULL};

static const char *const opening_clinic_ko[] = {"{age}세 {sex}. {drug} 복용 {days}일째.",
                                                "{sex}/{age} {drug} 투여 후.",
                                                "{age}세 {sex}, {drug} 시작.",
                                                "Pt {sex}/{age}, {drug} 복용 중.", NULL};

static const char *const course_serious_clinic_ko[] = {"{hours}시간 후 {severe}, 119 이송.",
                                                       "{severe} 발생, ER 내원.",
                                                       "{mild} 후 {severe} 진행.",
                                                       "{severe}, 생명 위협.", NULL};

static const char *const course_mild_clinic_ko[] = {"{mild} {hours}시간.",
                                                    "어제부터 {mild}, 그 외 양호.",
                                                    "전화 문의: {mild}.", "{mild}, V/S 정상.",
                                                    NULL};

static const char *const outcome_serious_clinic_ko[] = {"ICU 입원 {days}일.",
                                                        "Intubation, 인공호흡기 {days}일.",
                                                        "{days}일째 사망.",
                                                        "입원 치료 {days}일.",
                                                        "영구 장애 남음, 재활 전원.",
                                                        "응급 OP, 입원 연장.",
                                                        NULL};

static const char *const outcome_mild_clinic_ko[] = {"{days}일 후 호전, tx 없음.",
                                                     "귀가, OTC만.",
                                                     "투약 유지, 경과 관찰.",
                                                     "익일 호전.",
                                                     "설명 후 귀가.",
                                                     "회복, ER 방문 없음.",
                                                     NULL};

static const char *const against_serious_clinic_ko[] = {"{severe} 없음. 입원 안 함.",
                                                        "{severe} r/o, 음성.",
                                                        "{year}년 {severe} 과거력, 당시 입원.",
                                                        "가족력: 모 {severe} 사망.", NULL};

static const char *const against_mild_clinic_ko[] = {"이전 투여 시 {mild}만.",
                                                     "발진 (-), 발열 (-).",
                                                     "{year}년 복용 시 문제 없음.", NULL};

static const char *const tail_clinic_ko[] = {"알레르기 (-).", "비흡연.",     "다른 약 없음.",
                                             "HTN 치료 중.",  "Lot 기록함.", NULL};

const notes_style notes_styles[NOTES_N_STYLE] = {
    {"ward", "en", opening_ward_en, severe_en, mild_en, drug_en, course_serious_ward_en,
     course_mild_ward_en, outcome_serious_ward_en, outcome_mild_ward_en, against_serious_ward_en,
     against_mild_ward_en, tail_ward_en, "man", "woman"},
    {"clinic", "en", opening_clinic_en, severe_en, mild_en, drug_en, course_serious_clinic_en,
     course_mild_clinic_en, outcome_serious_clinic_en, outcome_mild_clinic_en,
     against_serious_clinic_en, against_mild_clinic_en, tail_clinic_en, "man", "woman"},
    {"ward", "ko", opening_ward_ko, severe_ko, mild_ko, drug_ko, course_serious_ward_ko,
     course_mild_ward_ko, outcome_serious_ward_ko, outcome_mild_ward_ko, against_serious_ward_ko,
     against_mild_ward_ko, tail_ward_ko, "남성", "여성"},
    {"clinic", "ko", opening_clinic_ko, severe_ko, mild_ko, drug_ko, course_serious_clinic_ko,
     course_mild_clinic_ko, outcome_serious_clinic_ko, outcome_mild_clinic_ko,
     against_serious_clinic_ko, against_mild_clinic_ko, tail_clinic_ko, "남성", "여성"},
};
