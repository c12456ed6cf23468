/*
 * The builder's world: namespaces, a root of its own, a small init, and the builder as an ordinary
 * user without any privilege. docs/security.md, "The sandbox", lists what it holds.
 */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "hatchd/request/credentials.h"
#include "hatchd/request/inputs.h"
#include "hatchd/request/request.h"
#include "hatchd/slot/scratch.h"
#include "privilege.h"
#include "userns.h"

/* The locks of a slot and of all that can be held with it, and a few more. */
enum { SANDBOX_KEPT_MAX = BUILDER_UNITS_MAX + 4 };

/* The descriptor that $HATCH_STATUS_FD names: hatch-builder(5), "STATUS" */
#define SANDBOX_STATUS_FD 3

/* What the sandbox is made from; everything borrowed. */
struct sandbox_plan {
	const struct request *request;
	const struct account *account; /* who the builder becomes */
	const struct id_maps *maps; /* for a user namespace of the sandbox's own (unprivileged) */
	int time_ns_fd;             /* made by the monitor; -1: none */
	const char *user_name;
	const char *request_id; /* the server's */
	const struct scratch *scratch;
	const struct inputs *inputs;
	const struct credentials *credentials; /* NULL: the definition names none */
	const struct devices *devices;         /* of the definition */
	int layers_ns_fd; /* user namespace whose map makes root's files in the layers of overlays
	                     the build user's; -1: none is needed, or there are no ids to map */
	int root_fd;      /* of root_open(); -1: ROOT_SYSTEM */
	int command_fd;   /* O_PATH of the builder's program as it was checked on the host */
	int stdout_fd, stderr_fd;
	int status_fd;       /* becomes SANDBOX_STATUS_FD */
	const int *kept_fds; /* by init: slot and resources stay taken while anything lives */
	size_t n_kept_fds;   /* SANDBOX_KEPT_MAX at most */
	int describe_fd;     /* where init says what it made; -1: nobody wants to know */
	int network_fd;      /* the network namespace that the definition names; -1: none */
	int cgroup_fd; /* directory of the request's cgroup; -1 in unprivileged mode without one */
};

enum sandbox_report_kind {
	SANDBOX_STARTED = 1, /* the builder's program runs */
	SANDBOX_FAILED,      /* code and text: a step of the set-up */
	SANDBOX_EXEC_FAILED, /* code: errno of execve(2) */
	SANDBOX_EXITED,      /* code: status as wait(2) gives it */
};

/* From init to the monitor, over a SOCK_SEQPACKET pair; one struct each. */
struct sandbox_report {
	enum sandbox_report_kind kind;
	int code;
	char text[ERROR_TEXT_MAX], hint[ERROR_HINT_MAX];
};

/* The monitor's hold on it. */
struct sandbox {
	pid_t pid;   /* of init; 0: none */
	pid_t pasta; /* what connects a private network; 0: none */
	int pid_fd;
	int report_fd; /* reports come in; closing it makes init end, and with it everything */
};

/*
 * sandbox_start - clone init into its namespaces and cgroup; it makes the view, and reports on
 * report_fd what becomes of it. The builder does not run before sandbox_run()
 *
 * Everything here needs the monitor's capabilities; afterwards it can drop them.
 * On failure *ret may hold a process already, for the caller to kill and reap.
 */
int sandbox_start(const struct sandbox_plan *plan, struct sandbox *ret, struct error *err);
void sandbox_done(struct sandbox *sandbox);

/* sandbox_run - let init start the builder, once whoever calls has given up its own rights. 0, also
 * if init is gone: what it reported says why */
int sandbox_run(const struct sandbox *sandbox, struct error *err);

/* sandbox_terminate - have init send SIGTERM to everything inside; 0 or -errno */
int sandbox_terminate(const struct sandbox *sandbox);

/*
 * root_open - open what builder->root names, an image being mounted: at no place yet, so that only
 * who has the descriptor sees it, and gone with the last who has it; root.c
 *
 * ret_fd  not set for ROOT_SYSTEM
 * ret     what fstat(2) says of the tree, or of the image's file; may be NULL; not set for
 *         ROOT_SYSTEM
 * Errors  BLAME_HOST: as of builder_open_root() and builder_check_root(), and what the kernel says
 */
int root_open(const struct config *config, const struct builder *builder, int *ret_fd,
              struct stat *ret, struct error *err);

/* view_enter - make the view and pivot into it; view.c. In the new mount namespace, with
 * capabilities over it */
int view_enter(const struct sandbox_plan *plan, struct error *err);

/* What the monitor may say to init, one byte each. */
enum {
	INIT_GO = 'g',  /* the maps of ids are written */
	INIT_RUN = 'r', /* the monitor has no rights any more: the builder may exist */
	INIT_TERMINATE = 't',
};

/* init_report - one report to the monitor; err may be NULL */
void init_report(int report_fd, enum sandbox_report_kind kind, int code, const struct error *err);

/* sandbox_describe - command, environment, mounts, ids and network as init finds them, as text;
 * describe.c. fd is borrowed */
void sandbox_describe(const struct sandbox_plan *plan, char *const *env, int fd);

/* init_run - life of process 1 after the view is there: drop, start the builder, reap, report;
 * init.c */
__attribute__((noreturn)) void init_run(const struct sandbox_plan *plan, int report_fd);

/*
 * environment_make - the builder's whole environment, sorted by name; environment.c
 *
 * ret   NULL-terminated, for execve(2); release with strv_free()
 */
int environment_make(const struct sandbox_plan *plan, char ***ret, struct error *err);
