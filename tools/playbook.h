/* Playbooks of ACE, as advice. */
#ifndef HAKMEM_TOOLS_PLAYBOOK_H
#define HAKMEM_TOOLS_PLAYBOOK_H

/* Print what the playbook says of a program, or of all if it is NULL, as variables to set.
 * Returns the command's exit code. */
int playbook_advise(const char *path, const char *program);

#endif
