/* hatchctl check: every error of the configuration. */
#include "hatchd/config/check.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

#include "lib/base/log.h"
#include "verbs.h"

int run_check(const struct options *options)
{
	const struct config_report report = { .error = say_error, .warning = say_warning };
	struct config_check found = config_check_all(options->config_dir, !options->unprivileged,
	                                             &report);

	if (!options->unprivileged && !found.unit_known)
		log_line(LOG_NOTICE,
		         "credentials and rlimits of the service are not checked: systemd does not "
		         "tell of hatchd@.service");
	if (found.n_errors > 0) {
		log_line(LOG_ERR, "%s: %zu error%s", options->config_dir, found.n_errors,
		         found.n_errors == 1 ? "" : "s");
		return EX_CONFIG;
	}
	printf("%s: %zu builder%s, no errors", options->config_dir, found.n_builders,
	       found.n_builders == 1 ? "" : "s");
	if (found.n_warnings > 0)
		printf(", %zu warning%s", found.n_warnings, found.n_warnings == 1 ? "" : "s");
	(void)putchar('\n');
	return end_printing(fflush(stdout) == 0 ? 0 : -EIO);
}
