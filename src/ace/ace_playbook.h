/* What was learnt, from one run of a program to the next.
 *
 * Text (version 1), lines of words with one blank between:
 *
 *	hakmem-playbook 1
 *	learnt KEY KNOB ARM WEIGHT REWARD     what a setting paid (ace_ucb1.h)
 *	adopt KEY KNOB VALUE                  it was in force at the end, and is not the default
 *	checksum HEX                          FNV-1a, 64 bits, of all before
 *
 * KEY is PROGRAM.FINGERPRINT: the program's name and what its work looked like when
 * learning began, coarsely: live bytes in powers of four, heaps in powers of two, remote
 * frees or none. A run whose work looks otherwise neither uses nor disturbs it.
 *
 * A run replaces the lines of its own key, which go to the end; others are kept, the oldest
 * dropped when the file would be too long. A file that is damaged, too long, or not safe
 * to read (ace_file.h) counts as absent.
 */
#ifndef HAK_ACE_PLAYBOOK_H
#define HAK_ACE_PLAYBOOK_H

#include "ace/ace_controller.h"

enum { ACE_PLAYBOOK_BYTES = 64 * 1024, ACE_KEY_BYTES = 80 };

struct ace_playbook {
	size_t length; /* of the lines of entries in text[] */
	char text[ACE_PLAYBOOK_BYTES];
};

/* Read the file. NULL, or what is wrong with it; the playbook is empty then. A file that
 * is not there is nothing wrong. */
const char *ace_playbook_load(struct ace_playbook *b, const char *path);

/* The same of a file whose n bytes are in text[] already. */
const char *ace_playbook_take(struct ace_playbook *b, size_t n);

/* The key of this program at this work. */
void ace_playbook_key(char key[ACE_KEY_BYTES], const char *program,
		      const struct ace_sample *sample);

/* Tell the controller what is known under the key. Each line used is also given to
 * `used`, in the form of a trace, before it takes effect. True: there was something. */
bool ace_playbook_recall(const struct ace_playbook *b, const char *key, struct ace_controller *a,
			 void (*used)(const struct text *line));

/* Write what the controller has learnt. 0, or -errno. */
int ace_playbook_save(struct ace_playbook *b, const char *path, const char *key,
		      const struct ace_controller *a);

/* What is in force and not the default, as variables to set: "HAKMEM_HUGE_PAGES=always ..."
 * Nothing if all is at its default. */
void ace_advise(struct text *t, const struct ace_controller *a);

#endif
