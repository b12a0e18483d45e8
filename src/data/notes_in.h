/* notes_in: the words of notes, shared by notes.c and notes_words.c alone. */
#ifndef CASELOAD_DATA_NOTES_IN_H
#define CASELOAD_DATA_NOTES_IN_H

/* Lists end with NULL. Words in braces are filled in: {age} {year} {days} {hours} {drug} {severe}
 * {mild} {other} (another severe event) {man} {sex} {He} {he} {His} {his}. */
typedef struct notes_style {
    const char *site, *language;
    const char *const *opening; /* who, what medicine */
    const char *const *severe, *const *mild, *const *drug;
    const char *const *course_serious; /* what happened: the serious event */
    const char *const *course_mild;
    const char *const *outcome_serious; /* how it ended, when serious */
    const char *const *outcome_mild;
    const char *const *against_serious; /* sounds serious, in a note that is not */
    const char *const *against_mild;    /* sounds harmless, in a note that is serious */
    const char *const *tail;            /* says nothing about it */
    const char *man, *woman;
} notes_style;

enum { NOTES_N_STYLE = 4 };
extern const notes_style notes_styles[NOTES_N_STYLE]; /* ward en, clinic en, ward ko, clinic ko */

#endif
