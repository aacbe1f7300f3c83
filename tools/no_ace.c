/* In place of replay.c and playbook.c, in builds without ACE. */
#include "commands.h"
#include "playbook.h"
#include "say.h"

static int complain_no_ace(void)
{
	complain("this build is without ACE (HAKMEM_ACE=OFF)");
	return EXIT_FAILED;
}

int command_replay(int argc, char **argv)
{
	(void)argc, (void)argv;
	return complain_no_ace();
}

int playbook_advise(const char *path, const char *program)
{
	(void)path, (void)program;
	return complain_no_ace();
}
