/* The commands, one source each. argv[0] is the command's name. They return the
 * command's exit code. */
#ifndef HAKMEM_TOOLS_COMMANDS_H
#define HAKMEM_TOOLS_COMMANDS_H

int command_run(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_top(int argc, char **argv);
int command_list(int argc, char **argv);
int command_ctl(int argc, char **argv);
int command_export(int argc, char **argv);
int command_advise(int argc, char **argv);
int command_report(int argc, char **argv);
int command_replay(int argc, char **argv);

#endif
