#!/usr/bin/env python3
"""Do the tests guard what they claim to? Takes one protecting line away at a time, and wants a test to fail for it.

    mutations.py [-d DIR] [NAME...]
    mutations.py --find

Works on a copy of the sources in DIR (default: .cache/mutations), never on the sources themselves. Each row below names
what is taken away, and the tests that must go red: "unit:PROGRAM:CASE" of a unit test, "hook:FILE:CASE" of the hook alone,
"session:FILE:TEST", "nix:FILE:TEST" of tests/nix, "machine:FILE:TEST" of tests/vm, "qemu:FILE:TEST" if only an emulated machine has what it
needs, "scenario:NAME:SUBTEST" of tests/vm/scenarios. All of them must be green first. One line for each row: "ok NAME" if
every test that is named went red, "FAIL NAME: why" otherwise. Takes an hour or two; needs root, for the machines.
--find only looks whether each line is still there to be taken away: a unit test, so that no row is lost.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
PRIVILEGE = "hatchd/sandbox/privilege.c"
FILTER = "hatchd/sandbox/filter.c"
CALLS = "hatchd/sandbox/filter-builder.c"
INIT = "hatchd/sandbox/init.c"
VIEW = "hatchd/sandbox/view.c"
ATTRIBUTES = "hatchd/sandbox/view.h"
PLACE = "hatchd/sandbox/place.c"
KERNEL = "hatchd/sandbox/kernel.c"
MONITOR = "hatchd/monitor/monitor.c"
EQUIP = "hatchd/monitor/equip.c"
BUILD = "hatchd/monitor/build.c"
CLEAN = "hatchd/monitor/clean.c"
OUTPUTS = "hatchd/monitor/outputs.c"
LANDLOCK = "hatchd/sandbox/landlock.c"
CONTROL = "hatchd/slot/control.c"
UNPACK = "lib/tree/unpack.c"
UNPACKER = "hatchd/monitor/unpacker.c"
TREES = "hatchd/speaker/trees.c"
STEWARD = "hatchd/monitor/steward.c"
COMMAND = "hatchd/monitor/command.c"
SWEEP = "hatchd/monitor/sweep.c"
LEFTOVERS = "machine:test_leftovers.py:"
HOOKS = "machine:test_hooks.py:"
FAILED = "machine:test_failed.py:"
SECCOMP = "machine:test_seccomp.py:"
USERNS = "hatchd/sandbox/userns.c"
SANDBOX = "machine:test_attack_sandbox.py:"
LIFETIME = "machine:test_attack_lifetime.py:"
HOST = "machine:test_attack_host.py:"
ROOT = "machine:test_root.py:"
IDENTITY = "machine:test_attack_identity.py:"
NETWORK = "machine:test_network.py:"
IDENTITY_KEYS = "machine:test_identity_keys.py:"
VIEWS = "machine:test_views.py:"
HATCHCTL = "machine:test_hatchctl.py:"
WAITING = "machine:test_waiting.py:"
SECRETS = "machine:test_secrets.py:"
LIMITS = "machine:test_limits.py:"
FEATURES = "hatchd/request/features.c"
POLICY = "hatchd/request/policy.c"
ORIGIN = "hatchd/request/origin.c"
WORDS = "hatchd/request/words.c"
REQUEST_TREES = "hatchd/request/trees.c"
HOOK = "machine:test_hook.py:"
HOOK_PROGRAM = "hatch-pre-build-hook/main.c"
HOOK_ALONE = "hook:hook-test.py:"
ENDS = "machine:test_ends.py:"
HOSTILE = "machine:test_hostile_derivation.py:"
INPUTS = "machine:test_inputs.py:"
INPUT_SESSION = "session:test_inputs.py:"
LIMITS_QEMU = "qemu:test_limits.py:"
MODULE = "nixos/module.nix"
MODULE_CHECKS = "nixos/checks.nix"
LIBRARY = "nixos/lib.nix"
NIX = "nix:test_nix.py:"
DERIVATIONS = "nix:test_derivations.py:"
WRITTEN = NIX + "module_makes_of_each_machine_what_is_written_down"

# name, [(file, what stands there, what stands there instead)], tests that must fail
ROWS = [
    # --- who reads a derivation
    ("files_of_the_reader_of_derivations", [(FEATURES, "for (int fd = 0; fd < 3; fd++)\n\t\t(void)close(fd);", "")],
     ["unit:features:the_reader_has_nothing_but_its_source_and_its_answer"]),
    ("user_of_the_reader_of_derivations", [(FEATURES, "r = privilege_become(account, err);", ";")],
     ["unit:features:the_reader_has_nothing_but_its_source_and_its_answer"]),
    ("filter_of_the_reader_of_derivations", [(FEATURES, "return r < 0 ? r : filter_tap(err);", "return r;")],
     ["unit:features:the_reader_has_nothing_but_its_source_and_its_answer"]),
    ("memory_of_the_reader_of_derivations", [(FEATURES, "r = privilege_limit_memory(READER_MEMORY_MAX, err);", "r = 0;")],
     ["unit:features:what_takes_too_much_memory_is_refused"]),
    ("time_of_the_reader_of_derivations", [(FEATURES, "r = privilege_die_after(READER_SEC_MAX, err);", "r = privilege_die_after(40, err);")],
     ["unit:features:a_reader_that_does_not_end_is_killed"]),
    ("features_are_read_last", [("hatchd/monitor/ask.c", "if (!policy_needs_features(&job->config, builder, &job->peer, job->socket_class))",
                                 "if (builder->allow.n_features == 0)")],
     [HOSTILE + "a_derivation_is_parsed_only_for_a_builder_that_its_build_may_use_otherwise"]),
    ("connections_of_one_user", [(MONITOR, "r = take_share(job, err);", "r = 0;")],
     [HOSTILE + "requests_of_one_user_leave_places_to_others"]),
    ("whose_place_a_connection_has", [("hatchd/slot/share.c", "(off_t)uid * SHARE_MAX + i", "(off_t)i")],
     ["unit:share:others_have_their_own"]),
    ("locks_of_open_files", [("hatchd/slot/share.c", "F_OFD_SETLK", "F_SETLK")],
     ["unit:share:one_user_has_so_many_and_no_more"]),
    ("who_may_ask_for_features", [(POLICY, "allow_caller(config, builder, peer, socket_class, NULL, NULL) == 0;", "true;")],
     ["unit:policy:features_are_asked_for_last"]),
    ("how_much_of_a_mount_table_is_read", [(ORIGIN, "MOUNT_TABLE_MAX = 16 * 1024", "MOUNT_TABLE_MAX = 1024 * 1024")],
     ["unit:peer:reads_at_most_16_kib_of_a_mount_table"]),
    ("names_without_an_end", [(FEATURES, "if (features->len > sizeof(features->text))\n\t\treturn false;", "")],
     ["unit:features:names_that_do_not_end_are_none"]),
    ("names_whose_last_has_no_end", [(FEATURES, "features->len == 0 || features->text[features->len - 1] == '\\0'", "true")],
     ["unit:features:names_that_do_not_end_are_none"]),
    ("who_wrote_a_derivation", [(FEATURES, "(st.st_mode & (S_IWGRP | S_IWOTH))", "false")],
     ["unit:features:only_files_of_roots_are_opened"]),
    ("a_variable_twice_in_a_derivation", [("lib/derivation/aterm.c", "if (place->data)", "if (false)")],
     ["unit:derivation:refuses_what_nix_does_not_write"]),
    ("features_of_the_derivation", [(POLICY, "if (features_have(peer->features, feature)) {", "if (true) {")],
     ["unit:policy:all_features_must_be_required", HOOK + "a_derivation_uses_only_the_builders_whose_features_it_requires"]),
    ("features_only_of_builds", [(POLICY, "if (!peer->derivation[0] || !peer->features)", "if (!peer->features)")],
     ["unit:policy:all_features_must_be_required"]),
    ("a_missing_derivation", [(POLICY, "if (peer->derivation_missing && config->allow_missing) {",
                               "if (peer->derivation_missing) {")],
     ["unit:policy:a_missing_derivation_is_allowed_only_where_that_is_said",
      HOOK + "a_build_whose_derivation_is_elsewhere_is_refused_unless_that_is_allowed"]),
    ("a_list_asks_for_features", [("hatchd/monitor/answer.c", "r = job_read_features(job, &builder, err);", "r = 0;")],
     [HOOK + "a_derivation_is_shown_only_the_builders_that_it_may_use"]),
    ("only_features_are_exposed", [(HOOK_PROGRAM, "if (is_exposed(exposure, &features))", "if (true)")],
     [HOOK_ALONE + "who_requires_none_or_anothers_is_shown_nothing", HOOK + "only_a_derivation_with_the_feature_sees_the_hatch"]),
    ("a_chain_that_may_be_lost", [(HOOK_PROGRAM, "\tif (build->exposure.chain_lost) {", "\tif (false) {")],
     [HOOK_ALONE + "where_another_hook_may_be_lost_no_build_goes_on", HOOK + "another_hook_goes_on_being_run"]),
    ("a_chain_in_a_text_that_is_wrong", [("hatchd/config/exposure.c", "{ .chain_lost = true }", "{ 0 }")],
     ["unit:exposure:a_hook_that_what_is_wrong_may_hide_is_told"]),
    ("a_chain_that_is_misspelt", [("hatchd/config/exposure.c", "n_known == root->n_items", "true")],
     ["unit:exposure:a_hook_that_what_is_wrong_may_hide_is_told"]),
    ("a_chain_in_a_file_that_cannot_be_read", [("hatchd/config/exposure.c", "{ .chain_lost = r < 0 }", "{ 0 }")],
     ["unit:exposure:a_file_that_cannot_be_read_may_hide_one"]),
    ("derivations_are_not_parsed_by_root", [(FEATURES, "if (account.uid == 0 || account.gid == 0)", "if (false)")],
     ["unit:features:the_account_that_is_named_reads"]),
    ("what_a_hook_says_of_sent_builds", [(HOOK_PROGRAM, "\tlog_copy(_PATH_LOG);\n", "")],
     [HOOK + "a_build_whose_derivation_is_elsewhere_sees_what_the_configuration_says"]),
    ("a_log_that_nobody_reads", [("lib/base/log.c", "MSG_DONTWAIT | ", "")], ["unit:log:nobody_waits_for_a_copy_to_be_read"]),
    ("a_wrong_hook_json_exposes_nothing", [(HOOK_PROGRAM, "\tif (build->broken) {", "\tif (false) {")],
     [HOOK_ALONE + "a_wrong_configuration_fails_only_who_needs_it", HOOK + "a_wrong_configuration_fails_only_builds_that_need_it"]),
    ("a_derivation_that_the_hook_cannot_read", [(HOOK_PROGRAM, "return found == 0 && exposure->missing;", "return exposure->missing;")],
     [HOOK_ALONE + "a_derivation_that_cannot_be_read_is_shown_nothing"]),
    ("a_chain_that_others_could_have_written", [(HOOK_PROGRAM, "r = exposure_check_chain(&build->exposure, geteuid(), &err);", "r = 0;")],
     [HOOK_ALONE + "another_hook_that_fails_fails_every_build"]),
    ("end_of_a_chain", [(HOOK_PROGRAM, "\tif (status != 0)\n\t\treturn status;\n", "")],
     [HOOK_ALONE + "another_hook_that_fails_fails_every_build"]),
    ("what_a_chain_may_print", [("hatch-pre-build-hook/chain.c", "if (ret->len > CHAIN_OUTPUT_MAX)", "if (false)")],
     ["unit:chain:tells_how_a_hook_ended"]),
    ("a_list_that_a_chain_left_open", [("hatch-pre-build-hook/chain.c", "if (in_list && ", "if (false && in_list && ")],
     ["unit:chain:adds_its_lines_where_nix_reads_them", HOOK_ALONE + "another_hook_comes_first"]),
    ("beginning_of_a_derivation_that_is_open", [(HOOK_PROGRAM, " || lseek((int)fd, 0, SEEK_SET) < 0)", ")")],
     [HOOK_ALONE + "what_nix_hands_over_comes_before_the_file", HOOK_ALONE + "another_hook_reads_the_derivation_too"]),
    ("a_file_of_nix_that_others_could_have_written", [(HOOK_PROGRAM, "int r = path[0] == '/' ? features_open(path, geteuid(), own_fd, err) : 0;",
                                                       "int r = path[0] == '/' ? (*own_fd = open(path, O_RDONLY)) >= 0 : 0;"),
                                                      (HOOK_PROGRAM, "#include <errno.h>", "#include <errno.h>\n#include <fcntl.h>")],
     [HOOK_ALONE + "what_nix_hands_over_and_cannot_be_opened_is_passed_over"]),
    ("an_account_that_cannot_read", [("hatchd/config/exposure.c", "\tfree(exposure->user);\n\texposure->user = NULL;\n\treturn reading_fail", "\treturn reading_fail")],
     [HOOK_ALONE + "who_is_to_read_derivations_must_be_an_account_of_its_own"]),
    ("a_link_to_a_derivation", [(FEATURES, "O_RDONLY | O_NOFOLLOW | O_NONBLOCK", "O_RDONLY | O_NONBLOCK")],
     ["unit:features:only_files_of_roots_are_opened", HOOK_ALONE + "a_derivation_that_cannot_be_read_is_shown_nothing"]),
    # --- who a process is
    ("setgroups", [(PRIVILEGE, "setgroups(account->n_groups, account->groups) < 0", "false")],
     ["unit:privilege:becomes_the_account_with_exactly_its_groups",
      SANDBOX + "a_builder_has_exactly_the_groups_of_its_definition"]),
    ("setresgid", [(PRIVILEGE, "setresgid(gid, gid, gid) < 0", "false")],
     ["unit:privilege:becomes_the_account_with_exactly_its_groups"]),
    ("setresuid", [(PRIVILEGE, "setresuid(uid, uid, uid) < 0", "false")],
     ["unit:privilege:another_user_has_no_way_back"]),
    ("refusal_of_uid_0",
     [(PRIVILEGE, "account->uid == 0 || account->gid == 0", "false"),
      (PRIVILEGE, "setresuid((uid_t)-1, 0, (uid_t)-1) == 0 || setresgid((gid_t)-1, 0, (gid_t)-1) == 0", "false")],
     ["unit:privilege:never_becomes_root"]),
    ("bounding_set_of_a_user_namespace", [(PRIVILEGE, "r = empty_bounding_set(keep);", "r = 0;")],
     [IDENTITY_KEYS + "root_inside_has_these_capabilities_and_no_others"]),
    ("capabilities_that_are_kept", [(PRIVILEGE, "return privilege_keep(keep, err);", "return 0;")],
     ["unit:userns:a_capability_works_only_if_it_is_kept"]),
    ("no_nested_user_namespaces",
     [(USERNS, "user_ns_limit(proc_fd, with & WITH_NESTED ? NESTED_MAX : 0, &report.error)", "0")],
     ["unit:userns:nobody_makes_another_one_where_that_is_forbidden",
      IDENTITY_KEYS + "without_the_filter_nobody_makes_a_user_namespace_either"]),
    ("namespace_where_the_filter_is_open",
     [("hatchd/slot/identity.c", "(builder->seccomp.groups & SECCOMP_USERNS)", "false")],
     [IDENTITY_KEYS + "without_the_filter_nobody_makes_a_user_namespace_either"]),
    ("interface_of_a_limited_network",
     [("hatchd/sandbox/pasta.c", "if (network->n_ports > 0)\n\t\tadd_ports",
       "add(&words, &to_the_world[0], 1);\n\tif (network->n_ports > 0)\n\t\tadd_ports")],
     [NETWORK + "a_list_of_ports_is_all_that_is_reached"]),
    ("loopback_of_the_host",
     [("hatchd/sandbox/pasta.c", "\"--config-net\", \"--tcp-ns\",      \"none\"",
       "\"--config-net\", \"--tcp-ns\",      \"2100\"")],
     [NETWORK + "a_private_network_reaches_the_world_and_not_the_loopback_of_the_host"]),
    ("family_of_a_limited_network",
     [("hatchd/sandbox/pasta.c", "families < ARRAY_SIZE(only)", "families > ARRAY_SIZE(only)")],
     [NETWORK + "a_list_of_ports_is_all_that_is_reached"]),
    ("ports_into_a_private_network",
     [("hatchd/sandbox/pasta.c", "\"--tcp-ports\",  \"none\"", "\"--tcp-ports\",  \"2300\"")],
     [NETWORK + "nobody_comes_into_a_private_network"]),
    ("kind_of_a_namespace",
     [("hatchd/config/network.c", "ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET", "false")],
     [NETWORK + "a_namespace_that_is_missing_or_none_is_refused_before_a_slot_is_taken"]),
    ("range_of_a_killed_request", [(BUILD, "job->made.range_first = range_first(job);", "(void)range_first;")],
     [IDENTITY_KEYS + "outputs_of_a_range_come_back_whole_and_nothing_stays"]),
    ("build_users_that_are_root", [("hatchd/config/users.c", "if (user->uid == 0 || user->gid == 0 || id_is_nobody(user->uid) || id_is_nobody(user->gid))", "if (false)")],
     ["unit:accounts:refuses_accounts_that_cannot_be_kept_apart"]),
    ("build_users_of_nix", [("hatchd/config/users.c", "r = refuse_nix_user(config, own, err);", "r = 0;\n\t(void)refuse_nix_user;")],
     ["unit:accounts:refuses_a_build_user_in_group_0_or_in_nix_own_pool"]),
    ("a_speaker_that_is_root", [("hatchd/config/users.c", "if (config->speaker_uid == 0 || config->speaker_gid == 0 ||", "if (")],
     ["unit:accounts:refuses_a_speaker_that_is_not_one_of_its_own"]),
    ("login_of_a_build_user", [("hatchd/config/users.c", "return r < 0 ? r : check_login(in, user);", "(void)check_login;\n\treturn r;")],
     ["unit:accounts:refuses_accounts_that_cannot_be_kept_apart", "machine:test_service.py:nobody_who_logs_in_is_a_build_user"]),
    ("state_in_the_sight_of_builds", [("hatchd/config/config.c", "(void)check_state_place(&in, &config);", "(void)check_state_place;")],
     ["unit:config:refuses_what_is_wrong_in_hatchd_json"]),
    ("names_of_accounts_elsewhere", [("hatchd/config/users.c", "(void)check_account_names(in, config);", "(void)check_account_names;")],
     ["unit:config:another_machine_s_configuration_is_read_without_asking_this_one"]),
    ("ids_of_others", [("hatchd/config/users.c", "(void)check_range(in, config);", "{}")],
     [IDENTITY_KEYS + "ids_that_somebody_else_has_are_refused"]),
    ("drop_of_the_monitor_before_the_builder", [("hatchd/sandbox/init.c", "if (!await_run(report_fd))", "if (false && !await_run(report_fd))")],
     ["machine:test_unit_effects.py:no_builder_exists_before_the_monitor_has_dropped_its_capabilities"]),
    ("no_new_privs_of_all_but_the_monitor",
     [(PRIVILEGE, "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE", "prctl(PR_SET_DUMPABLE")],
     ["unit:privilege:gives_up_privileges_where_it_stays_who_it_is"]),
    ("no_new_privs_of_the_monitor",
     [(PRIVILEGE, "PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||\n\t    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)",
       "PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)")],
     ["unit:privilege:the_monitor_keeps_seven_capabilities_and_its_children_none"]),
    ("dumpable_of_all_but_the_monitor", [(PRIVILEGE, " || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0", "")],
     ["unit:privilege:gives_up_privileges_where_it_stays_who_it_is"]),
    ("dumpable_of_the_monitor", [("hatchd/main.c", "prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0", "false")],
     [SANDBOX + "a_stray_process_of_the_same_user_cannot_reach_into_a_request"]),
    ("bounding_set", [(PRIVILEGE, "r = empty_bounding_set(0);", "r = 0;")],
     ["unit:privilege:the_monitor_keeps_seven_capabilities_and_its_children_none",
      SANDBOX + "a_builder_has_no_capability_and_gains_none"]),
    ("drop_to_the_needed", [(PRIVILEGE, "r = cap_set(keep);", "r = 0;")],
     ["unit:privilege:the_monitor_keeps_seven_capabilities_and_its_children_none"]),
    ("drop_of_all_while_the_builder_runs", [(BUILD, "r = privilege_drop_all(err);", "r = 0;")],
     [SANDBOX + "processes_of_a_request_have_no_rights_and_cannot_be_looked_into"]),
    ("parent_death_signal", [(PRIVILEGE, "return privilege_die_with_parent(parent, err);", "return 0;")],
     ["unit:privilege:dies_with_its_parent_after_each_way_down",
      "unit:privilege:another_user_still_dies_with_its_parent"]),
    ("check_for_a_dead_parent", [(PRIVILEGE, "parent != 0 && getppid() != parent", "false")],
     ["unit:privilege:a_parent_that_died_before_is_noticed"]),
    ("user_of_the_speaker",
     [(MONITOR, ".gid = job->config.speaker_gid,\n\t\t                 .change = job->options->privileged",
       ".gid = job->config.speaker_gid,\n\t\t                 .change = false")],
     [SANDBOX + "processes_of_a_request_have_no_rights_and_cannot_be_looked_into"]),
    # --- what a process has open
    ("close_range", [(PRIVILEGE, "syscall(SYS_close_range, next, end == UINT_MAX ? end : end - 1, 0) < 0", "false")],
     ["unit:privilege:closes_every_descriptor_that_is_not_kept",
      SANDBOX + "descriptors_that_hatchd_inherits_do_not_reach_a_request"]),
    ("lower_limit_of_memory", [(PRIVILEGE, "if (used + bytes < limit.rlim_cur)", "if (true)")],
     ["unit:privilege:a_limit_of_memory_only_ever_goes_down"]),
    ("standard_streams", [("hatchd/main.c", "\tprocess_open_streams();\n", "")],
     [HOST + "hatchd_may_be_started_without_standard_streams"]),
    ("lock_held_by_init", [(INIT, "i < plan->n_kept_fds", "i < 0 * plan->n_kept_fds")],
     [LIFETIME + "a_killed_monitor_takes_its_request_with_it_and_the_next_one_clears_up"]),
    ("refusal_of_descriptors", [("hatchd/main.c", "r = peer_refuse_descriptors(conn_fd, err);", "r = 0;")],
     [HOST + "a_build_cannot_send_the_descriptor_of_its_output"]),
    # --- what a process may call
    ("filter_of_the_builder", [(INIT, "r < 0 ? r : filter_builder(&plan->request->builder->seccomp, err)", "r")],
     [SANDBOX + "processes_of_a_request_have_no_rights_and_cannot_be_looked_into", SANDBOX + "a_builder_makes_no_namespace",
      SANDBOX + "set_id_files_cannot_be_made"]),
    ("filter_of_the_speaker", [("hatchd/speaker/speaker.c", " || filter_speaker(&err) < 0", "")],
     [SANDBOX + "processes_of_a_request_have_no_rights_and_cannot_be_looked_into"]),
    ("filter_of_the_packer", [("hatchd/monitor/packer.c", "r < 0 ? r : filter_packer(err)", "r")],
     [SANDBOX + "processes_of_a_request_have_no_rights_and_cannot_be_looked_into"]),
    ("clone3", [(CALLS, "{ SCMP_SYS(clone3), ENOSYS, SECCOMP_USERNS },", "{ SCMP_SYS(clone3), EPERM, SECCOMP_USERNS },")],
     ["unit:filter-builder:refuses_a_builder_what_no_build_needs"]),
    ("mount", [(CALLS, "\t{ SCMP_SYS(mount), EPERM, SECCOMP_USERNS },\n", "")],
     ["unit:filter-builder:refuses_a_builder_what_no_build_needs", "unit:filter-table:native_calls_are_answered_as_the_table_says"]),
    ("keyctl", [(CALLS, "\t{ SCMP_SYS(keyctl), EPERM },\n", "")],
     ["unit:filter-builder:refuses_a_builder_what_no_build_needs"]),
    ("io_uring", [(CALLS, "{ SCMP_SYS(io_uring_setup), ENOSYS, SECCOMP_IO_URING },", "{ SCMP_SYS(io_uring_setup), EPERM, SECCOMP_DEBUG },")],
     ["unit:filter-builder:refuses_a_builder_what_no_build_needs"]),
    ("ptrace", [(CALLS, "{ SCMP_SYS(ptrace), EPERM, SECCOMP_DEBUG },", "{ SCMP_SYS(ptrace), ENOSYS, SECCOMP_DEBUG },")],
     ["unit:filter-builder:refuses_a_builder_what_no_build_needs"]),
    ("setxattr", [(CALLS, "\t{ SCMP_SYS(setxattr), ENOTSUP },\n", "")],
     ["unit:filter-builder:refuses_a_builder_what_no_build_needs"]),
    ("unknown_calls", [(CALLS, "[BUILDER_KNOWN] = { SCMP_ACT_ERRNO(ENOSYS), add_known }", "[BUILDER_KNOWN] = { SCMP_ACT_ALLOW, add_nothing }"),
                       (CALLS, "static const struct {\n\tuint32_t otherwise;", "static int add_nothing(scmp_filter_ctx ctx, unsigned groups)\n{\n\t(void)ctx, (void)groups, (void)add_known;\n\treturn 0;\n}\n\nstatic const struct {\n\tuint32_t otherwise;")],
     ["unit:filter-table:native_calls_are_answered_as_the_table_says"]),
    ("new_namespaces", [(CALLS, "r = refuse_namespaces(ctx);", "(void)refuse_namespaces;")],
     ["unit:filter-builder:refuses_a_builder_every_new_namespace"]),
    ("terminal_input", [(CALLS, "\t{ SCMP_SYS(ioctl), EPERM, 1, UINT32_MAX, TIOCSTI },\n", "")],
     ["unit:filter-builder:refuses_a_builder_to_type_into_a_terminal"]),
    ("low_bits_of_a_command", [(CALLS, "EPERM, 1, UINT32_MAX, TIOCSTI", "EPERM, 1, UINT64_MAX, TIOCSTI")],
     ["unit:filter-builder:refuses_a_builder_to_type_into_a_terminal"]),
    ("project_of_a_file", [(CALLS, "\t{ SCMP_SYS(ioctl), ENOTSUP, 1, UINT32_MAX, FS_IOC_FSSETXATTR },\n", "")],
     ["unit:filter-builder:refuses_a_builder_attributes_of_files"]),
    ("families_of_pairs_of_sockets", [(CALLS, ".op = SCMP_CMP_NE, .datum_a = AF_UNIX", ".op = SCMP_CMP_EQ, .datum_a = AF_ALG + 1")],
     ["unit:filter-builder:refuses_a_builder_unusual_sockets"]),
    ("families_of_sockets", [(CALLS, "int r = refuse_families(ctx);", "int r = 0;\n\n\t(void)refuse_families;")],
     ["unit:filter-builder:refuses_a_builder_unusual_sockets", SANDBOX + "unusual_sockets_cannot_be_made"]),
    ("urgent_bytes", [(CALLS, "\t{ SCMP_SYS(sendmsg), EOPNOTSUPP, 2, MSG_OOB, MSG_OOB },\n", "")],
     ["unit:filter-builder:refuses_a_builder_urgent_bytes"]),
    ("personalities", [(CALLS, "r = refuse_personalities(ctx);", "(void)refuse_personalities;")],
     ["unit:filter-builder:refuses_a_builder_other_personalities"]),
    ("limits_of_init", [(CALLS, "\t{ SCMP_SYS(prlimit64), EPERM, 0, UINT32_MAX, 1 },\n", "")],
     ["unit:filter-builder:refuses_a_builder_to_limit_init", SANDBOX + "init_of_the_sandbox_cannot_be_looked_into"]),
    ("set_id_bits_of_open", [(CALLS, "\t{ SCMP_SYS(openat), 3, O_CREAT },\n", "")],
     ["unit:filter-builder:refuses_a_builder_set_id_files"]),
    ("set_id_bits_of_openat2", [(CALLS, "\t{ SCMP_SYS(openat2), ENOSYS, SECCOMP_OWNERS },\n", ""),
                                (CALLS, "\tSCMP_SYS(openat),\n", "\tSCMP_SYS(openat),\n\tSCMP_SYS(openat2),\n")],
     ["unit:filter-builder:refuses_a_builder_set_id_files", SANDBOX + "set_id_files_cannot_be_made"]),
    ("set_group_id_bit", [(CALLS, "r = refuse_mode(ctx, &mode_refusals[i], S_ISGID);", "r = 0;")],
     ["unit:filter-builder:refuses_a_builder_set_id_files"]),
    ("foreign_architectures",
     [(CALLS, "r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);",
       "r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);")],
     ["unit:filter-builder:kills_a_builder_that_calls_as_another_architecture",
      "unit:filter-table:x32_calls_are_answered_as_the_table_says"]),
    ("keyrings_of_a_builder_without_a_filter", [("hatchd/slot/identity.c", " || builder->seccomp.none ||", " ||")],
     [SECCOMP + "keys_of_a_builder_without_a_filter_end_with_the_request"]),
    ("scopes_of_a_builder", [(INIT, "r = landlock_scope(err);", "(void)landlock_scope;")],
     [SECCOMP + "abstract_sockets_of_the_host_are_out_of_reach"]),
    ("code_in_memory", [(FILTER, "SCMP_A2(SCMP_CMP_MASKED_EQ, EXEC, 0)", "SCMP_A2(SCMP_CMP_MASKED_EQ, 0, 0)")],
     ["unit:filter:kills_a_speaker_that_does_more_than_talk"]),
    ("recvmsg_of_the_speaker", [(FILTER, "\tSCMP_SYS(splice),\n", "\tSCMP_SYS(splice),\n\tSCMP_SYS(recvmsg),\n")],
     ["unit:filter:kills_a_speaker_that_does_more_than_talk"]),
    ("landlock_of_the_packer",
     [(LANDLOCK, "return restrict_self(ALL_RIGHTS, READ_RIGHTS, dir_fds, n_dir_fds, err);", "return 0;")],
     ["unit:landlock:a_reader_sees_its_directory_and_no_other", "unit:landlock:a_reader_writes_nothing"]),
    ("landlock_of_the_monitor",
     [(LANDLOCK, "return restrict_self(WRITE_RIGHTS, WRITE_RIGHTS, dir_fds, n_dir_fds, err);", "return 0;")],
     ["unit:landlock:a_writer_changes_its_directories_and_nothing_else"]),
    ("landlock_of_truncate", [(LANDLOCK, "attr.handled_access_fs |= ACCESS_FS_TRUNCATE;", "{}")],
     ["unit:landlock:a_writer_cuts_no_file_elsewhere"]),
    ("filter_of_the_monitor", [(BUILD, "return r < 0 ? r : filter_monitor(err);", "return r;")],
     [SANDBOX + "processes_of_a_request_have_no_rights_and_cannot_be_looked_into"]),
    ("namespaces_of_the_monitor", [(FILTER, "SCMP_SYS(fchown),      SCMP_SYS(unshare),", "SCMP_SYS(fchown),")],
     ["unit:filter:refuses_a_monitor_what_root_has_without_capabilities"]),
    # --- what is held together, and in which order
    ("reservations_of_those_ahead", [("hatchd/slot/fair.c", "\t\treserve(&line[i].claim, stocks, n_stocks);\n\t}\n\tlack = find_lack(own", "\t}\n\tlack = find_lack(own")],
     ["unit:fair:those_behind_pass_only_if_they_need_nothing_that_is_awaited",
      "machine:test_resources.py:several_resources_are_taken_all_at_once_or_not_at_all"]),
    ("turns_of_callers", [("hatchd/slot/fair.c", "in->own_last >= now ? in->own_last + 1 : now", "now")],
     ["unit:fair:callers_take_turns", "machine:test_resources.py:users_take_turns_however_many_requests_each_has",
      "machine:test_resources.py:derivations_take_turns_however_many_requests_each_has"]),
    ("round_that_moves_on", [("hatchd/slot/fair.c", "return round >= now ? round + 1 : now;", "return now;")],
     ["unit:fair:the_round_moves_on_and_never_back"]),
    ("first_of_a_caller", [("hatchd/slot/fair.c", "if (x->claim.first != y->claim.first)", "if (0)")],
     ["unit:fair:many_requests_of_one_delay_one_of_another_by_one_turn"]),
    ("units_of_a_killed_holder", [("hatchd/slot/resource.c", "r = left->find(left->context, &record, err);", "r = 0;")],
     ["unit:pool:a_unit_of_a_killed_holder_is_free_when_its_slot_is_cleared"]),
    ("units_beyond_a_lowered_count", [("hatchd/slot/resource.c", "stock->n_free--;", "stock->n_free -= file[strlen(file) - 1] == '0';")],
     ["unit:pool:more_units_than_there_are_now_count_while_they_are_held"]),
    ("refusal_of_strays", [("hatchd/slot/pool.c", "pool->refuse_strays && stray_find(user->uid, &pid) > 0", "0")],
     [LEFTOVERS + "a_build_user_with_a_stray_process_is_refused_and_told"]),
    ("sweep_beside_the_request", [("hatchd/monitor/acquire.c", "job_sweep(job);", "job_sweep(job);\n\tjob_await_sweep(job);")],
     [LEFTOVERS + "a_large_leftover_delays_nobody_who_finds_another_slot"]),
    ("death_before_a_cleaner", [(SWEEP, "int r = kill_processes(left, deadline_ms, err);", "int r = deadline_ms < 0;")],
     [LEFTOVERS + "a_process_of_a_killed_request_that_is_slow_to_die_is_waited_for"]),
    ("solitude_of_a_cleaner", [(SWEEP, "r = await_helpers(job, deadline_ms, left, err);", "r = deadline_ms < 0 ? await_helpers(job, 0, left, err) : 0;")],
     [LEFTOVERS + "nothing_of_a_killed_request_is_touched_while_one_of_its_processes_lives"]),
    ("rights_of_the_sweeper", [(SWEEP, "return job_confine(job, writable, n, err);", "return 0;")],
     [LEFTOVERS + "who_clears_a_leftover_has_no_right_while_a_builder_runs"]),
    ("guard_of_a_listing", [("hatchd/slot/list.c", "r = lock_wait(guard_fd, LOCK_GUARD_NAME, err);", "r = 0;")],
     ["unit:pool:listing_keeps_nobody_from_a_free_slot"]),
    ("identifier_of_the_refused", [(MONITOR, "r = name_request(job, err);", "r = job->receipt.id[0] ? name_request(job, err) : 0;")],
     [HATCHCTL + "a_request_that_was_refused_has_an_identifier_too"]),
    ("trust_in_hooks", [(EQUIP, "return builder_check_hooks(&job->config, &job->builder, err);", "return job->gone ? builder_check_hooks(&job->config, &job->builder, err) : 0;")],
     [HOOKS + "a_command_that_others_could_have_written_is_refused_and_found_by_check"]),
    ("user_of_hooks", [(COMMAND, "r == 0 && hook->as_root", "r == 0")],
     [HOOKS + "commands_run_as_the_build_user_unless_the_definition_says_root"]),
    ("end_of_what_a_hook_started", [(STEWARD, "else if (cgroup_kill(work->plan->own, OWN_KILL_TIMEOUT_MS, &err) < 0)", "else if (kill(pid, SIGKILL) < 0)")],
     [HOOKS + "what_a_command_leaves_running_ends_with_it"]),
    ("second_run_of_a_stopped_after", [(STEWARD, "was_stopped(work, STOP_WAVE_MS))", "0)")],
     [HOOKS + "a_stop_while_after_runs_does_not_leave_it_half_done"]),
    ("wait_for_the_steward_s_own_stop", [(STEWARD, "was_stopped(work, STOP_WAVE_MS))", "was_stopped(work, 0))")],
     [HOOKS + "after_runs_again_if_it_hears_of_a_stop_before_the_steward_does"]),
    ("line_of_the_steward", [(BUILD, "ret[n++] = job->steward.end_fd;", "ret[n++] = job->steward.fd;")],
     [HOOKS + "nobody_but_the_monitor_speaks_with_the_steward"]),
    ("rights_of_the_steward", [(STEWARD, "r = privilege_drop_all(err);\n\treturn r < 0 ? r : filter_steward(err);",
                                "r = 0;\n\treturn r < 0 ? r : filter_steward(err);")],
     [HOOKS + "neither_the_steward_nor_a_command_that_waits_has_a_right"]),
    ("filter_of_the_steward", [(STEWARD, "r < 0 ? r : filter_steward(err)", "r")],
     [HOOKS + "neither_the_steward_nor_a_command_that_waits_has_a_right"]),
    ("rights_of_commands_of_root", [(COMMAND, "\t\tr = privilege_drop_all(err);\n\telse if", "\t\tr = 0;\n\telse if")],
     [HOOKS + "neither_the_steward_nor_a_command_that_waits_has_a_right"]),
    ("stop_while_commands_wait", [(COMMAND, "set_signals(SIG_IGN);", "")],
     [HOOKS + "after_runs_when_the_service_is_stopped"]),
    # --- what is kept of a failure
    ("size_of_a_keepsake", [("hatchd/monitor/collector.c", "limits = { collecting->size, ENTRIES_MAX }", "limits = { UINT64_MAX, ENTRIES_MAX }")],
     [FAILED + "files_are_kept_up_to_their_size"]),
    ("size_of_all_keepsakes", [("hatchd/monitor/keepsake.c", "total <= config->failed.total", "true")],
     [FAILED + "old_keepsakes_make_room_for_new_ones"]),
    ("age_of_keepsakes", [("hatchd/monitor/keepsake.c", "kept->made >= oldest &&", "")],
     [FAILED + "old_keepsakes_make_room_for_new_ones"]),
    ("bundles_of_those_who_hung_up", [("hatchd/monitor/keep.c", "\"cancelled\", ", "")],
     [FAILED + "a_request_that_its_client_gave_up_is_not_kept"]),
    ("specials_in_a_keepsake", [("lib/tree/pack.c", "if (r == 0 || !p->choice ||", "if (r == 0 || true ||")],
     ["unit:pack:chooses_files_and_passes_over_what_cannot_be_sent", FAILED + "hostile_trees_do_no_harm"]),
    ("secrets_in_a_keepsake", [("hatchd/monitor/collector.c", "collecting->scan ? &eye : NULL", "collecting->scan ? NULL : &eye")],
     [FAILED + "what_is_kept_holds_no_secret"]),
    ("parents_in_a_pattern", [("hatchd/config/glob.c", "is_component(at, \".\") || is_component(at, \"..\")", "false")],
     ["unit:glob:tells_what_is_wrong_with_a_pattern"]),
    # --- trees, both ways
    ("order_of_a_stream", [(UNPACK, "if (strcmp(name, u->levels[level].last) <= 0)", "if (0)")],
     ["unit:unpack:refuses_each_stream_that_leads_elsewhere"]),
    ("dots_in_a_stream", [(UNPACK, "strcmp(name, \".\") != 0 &&\n\t       strcmp(name, \"..\") != 0", "true")],
     ["unit:unpack:refuses_each_stream_that_leads_elsewhere"]),
    ("root_of_a_stream", [(UNPACK, "level == 0 && strcmp(name, TREE_ROOT_NAME) != 0", "0")],
     ["unit:unpack:refuses_each_stream_that_leads_elsewhere"]),
    ("digest_of_an_output", [("hatch-client/exchange.c", "strcmp(end->output.sha256, totals->sha256) == 0", "true")],
     ["session:test_client.py:refuses_an_output_that_is_not_what_its_record_says"]),
    ("place_in_the_line", [("hatch-client/connect.c", ".tv_sec = LINE_SEC", ".tv_usec = 1")],
     [HOSTILE + "400_connections_of_a_build_keep_nobody_else_from_being_served"]),
    # --- which derivation asks
    ("parent_of_a_build_s_namespace", [(ORIGIN, "if (!look_is_same_file(&own, &parent) || ioctl", "if (ioctl")],
     ["unit:peer:refuses_a_user_namespace_nested_in_the_build",
      HOSTILE + "a_build_of_uid_0_that_nests_namespaces_is_not_the_derivation_that_it_claims"]),
    ("maker_of_a_build_s_namespace", [(ORIGIN, "||\n\t    owner != geteuid()) {", ") {")],
     ["unit:peer:refuses_a_namespace_that_another_user_made"]),
    ("mount_that_is_the_root", [(ORIGIN, " || id != mount_id)", ")")],
     ["unit:peer:a_mount_upon_the_root_is_not_the_root"]),
    ("root_of_a_build", [(ORIGIN, "claimed.inode != root.inode ||", "false && (claimed.inode != root.inode ||"),
                         (ORIGIN, "claimed.device_minor != root.device_minor)", "claimed.device_minor != root.device_minor))")],
     ["unit:peer:refuses_the_name_of_another_build",
      HOSTILE + "a_build_that_is_root_of_its_sandbox_is_not_the_derivation_that_it_claims"]),
    # --- what a request may say
    ("number_of_arguments", [(WORDS, "if (record->n_args > builder->args.max) {", "if (false) {")],
     ["unit:policy:takes_as_many_arguments_as_the_definition_says"]),
    ("options_among_arguments", [(WORDS, "if (!builder->args.dash && arg->data[0] == '-') {", "if (false) {")],
     ["unit:policy:a_dash_in_front_needs_permission"]),
    ("expressions_of_arguments", [(WORDS, "r = patterns_match(patterns, arg->data);", "r = patterns ? 1 : patterns_match(patterns, arg->data);")],
     ["unit:policy:each_argument_must_match_as_a_whole"]),
    ("variables_of_a_client", [(WORDS, "if (item < 0) {", "if (false) {")],
     ["unit:policy:takes_only_variables_that_it_accepts"]),
    ("place_of_an_output", [(REQUEST_TREES, "return base && text_is_store_name(base, len) ? base : NULL;", "return base;")],
     ["unit:policy:an_output_is_exactly_a_path_of_the_store"]),
    ("an_output_that_is_there", [(REQUEST_TREES, "if (lstat(path, &st) == 0) {", "if (lstat(path, &st) == 0 && false) {")],
     ["unit:policy:an_output_must_not_exist"]),
    ("an_output_that_is_a_variable", [(REQUEST_TREES, "if (words_have_variable(builder, &output->name)) {", "if (false) {")],
     ["unit:policy:the_name_of_an_output_is_no_variable_of_the_builder"]),
    ("class_of_a_socket", [(POLICY, "int r = allow_socket(builder, socket_class, rulings, err);", "int r = 0;\n\n\t(void)allow_socket;")],
     ["unit:policy:a_socket_reaches_only_builders_of_its_class"]),
    ("patterns_of_derivations", [(POLICY, "return r < 0 ? r : allow_derivation(builder, peer, rulings, err);", "(void)allow_derivation;\n\treturn r;")],
     ["unit:policy:a_rule_for_derivations_comes_on_top"]),
    ("refusal_that_tells_nothing", [(POLICY, "return r < 0 ? conceal(builder->name, strlen(builder->name), err) : 0;", "return r;")],
     ["unit:policy:an_unknown_builder_and_a_forbidden_one_look_the_same"]),
    ("line_of_build_users", [(POLICY, " || is_build_user(config, peer);", ";\n\t(void)is_build_user;")],
     ["unit:policy:build_users_need_a_line_of_their_own"]),
    # --- what a client sends along
    ("dots_in_a_path_of_an_input", [("lib/base/text.c", "if (n == 0 || (n <= 2 && memcmp(name, \"..\", n) == 0))", "if (n == 0)")],
     ["unit:text:knows_paths_that_stay_inside", "unit:policy:an_input_has_one_name_and_is_at_most_of_the_store"]),
    ("way_to_the_inside_of_an_input", [("hatchd/request/store.c", ".resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |\n\t\t                                 RESOLVE_NO_XDEV };", ".resolve = 0 };")],
     ["unit:peer:opens_what_a_build_was_given_and_nothing_else"]),
    ("store_path_around_an_input", [("hatchd/request/store.c", "if (!is_same(own_fd, peer_fd))\n\t\treturn 0;\n\tif (*slash) {", "if (*slash) {")],
     ["unit:peer:opens_what_a_build_was_given_and_nothing_else"]),
    ("key_of_inputs", [(REQUEST_TREES, "if (!builder->inputs)\n\t\treturn refuse_inputs(builder, rulings, err);", "")],
     ["unit:policy:only_a_builder_that_takes_inputs_gets_any"]),
    ("path_of_an_input", [(REQUEST_TREES, "ret->path = store_inner(config, &input->path);", "(void)store_inner;\n\tret->path = input->path.data;")],
     ["unit:policy:an_input_has_one_name_and_is_at_most_of_the_store"]),
    ("inode_of_an_input", [("hatchd/request/store.c", "return look_is_same_file(&a, &b) || is_same_link(a_fd, b_fd);", "(void)is_same_link;\n\treturn true;")],
     ["unit:peer:opens_what_a_build_was_given_and_nothing_else", INPUTS + "a_path_of_the_host_that_is_no_input_must_be_sent"]),
    ("root_of_an_unknown_build", [("hatchd/request/store.c", "!peer->derivation[0] || peer->root_fd <= 0", "false"),
                                  ("hatchd/request/store.c", "(int)syscall(SYS_openat2, peer->root_fd,", "(int)syscall(SYS_openat2, AT_FDCWD,"),
                                  ("hatchd/request/store.c", "RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS", "RESOLVE_NO_SYMLINKS")],
     ["unit:peer:opens_nothing_for_whom_no_build_is_known"]),
    ("inputs_that_can_be_written", [("hatchd/sandbox/inputs.c", "mount_set(mount_fd, ATTR_READ_ONLY, err)", "0")],
     [INPUT_SESSION + "inputs_cannot_be_changed_by_the_builder", INPUTS + "what_a_build_has_made_is_sent"]),
    ("store_paths_that_can_be_written", [("hatchd/sandbox/inputs.c", "mount_clone(store_fd, target, ATTR_READ_ONLY, err)",
                                          "mount_clone(store_fd, target, ATTR_DATA, err)")],
     [INPUTS + "inputs_of_a_derivation_are_shown_and_not_sent"]),
    ("limits_of_all_inputs", [(UNPACKER, "name, limits, used, &source", "name, limits, NULL, &source")],
     [INPUT_SESSION + "the_limits_hold_for_all_inputs_together"]),
    ("record_of_an_input", [(UNPACKER, "return r < 0 ? r : compare(unpacking, &totals, err);", "(void)compare;\n\treturn r;")],
     [INPUT_SESSION + "a_record_that_does_not_agree_with_the_stream_is_a_breach"]),
    ("filter_of_the_unpacker", [(UNPACKER, "return r < 0 ? r : filter_unpacker(err);", "return r;")],
     [INPUTS + "the_unpacker_can_write_to_one_directory_and_nothing_else"]),
    ("directory_of_the_unpacker", [("hatchd/sandbox/landlock.c", "if (version < LANDLOCK_REFER)", "if (version)")],
     ["unit:landlock:who_is_held_to_one_directory_makes_trees_in_it_and_nothing_elsewhere"]),
    ("name_of_a_piece", [(TREES, "|| strcmp(ret->output.name, name) != 0)\n\t\t\treturn 1;", ")\n\t\t\treturn 1;")],
     [INPUT_SESSION + "messages_that_do_not_fit_the_moment_are_breaches"]),
    ("number_of_pieces", [(TREES, "r = count_piece(talk, name, err);", "(void)count_piece;\n\t\tr = 0;")],
     [INPUT_SESSION + "many_small_pieces_are_a_breach"]),
    ("bytes_behind_an_input", [(TREES, "wire_has_more(&talk->wire)", "false")],
     [INPUT_SESSION + "messages_that_do_not_fit_the_moment_are_breaches"]),
    ("orders_in_mid_input", [(TREES, "talk->wire.stop_fd = talk->control_fd;", "")],
     [INPUT_SESSION + "a_service_that_is_stopped_tells_a_client_in_the_middle"]),
    ("pause_in_mid_input", [(TREES, "clock_now_ms() + STALL_MS;", "clock_now_ms() + 10 * STALL_MS;")],
     [INPUT_SESSION + "a_client_that_stalls_gives_its_slot_back_after_a_minute"]),
    ("time_for_all_inputs", [("hatchd/monitor/inputs.c", "r == HEARD_NOTHING ? took_too_long(job, err) : r;", "r == HEARD_NOTHING && took_too_long ? hear(job, deadline_ms + 60000, err) : r;")],
     [INPUT_SESSION + "a_client_that_drips_is_ended_by_the_time_for_all_inputs"]),
    ("mode_of_what_is_sent", [("lib/tree/pack.c", "p->as_it_is ? 0 : S_IRUSR | S_IXUSR", "S_IRUSR | S_IXUSR")],
     ["unit:pack:changes_no_mode_of_a_tree_that_is_taken_as_it_is"]),
    ("names_of_others_builders", [("hatchd/monitor/answer.c", "&job->peer, job->socket_class, NULL) == 0)", "&job->peer, job->socket_class, NULL) <= 0)")],
     ["session:test_server.py:list_shows_what_one_may_use_and_nothing_else"]),
    ("names_of_ones_own_builders", [("hatchd/monitor/ask.c", "if (r < 0 && error_is_concealed(err))", "if (false)")],
     ["session:test_server.py:unknown_and_forbidden_builders_look_the_same",
      "machine:test_nix.py:a_builder_that_nobody_configured_fails_the_build_with_a_reason"]),
    # --- what Nix is told
    ("start_of_a_line_for_nix", [("hatch-client/progress.c", "!progress->phase[0] || relay_in_line(progress->relay, progress->nix_fd)", "!progress->phase[0]")],
     ["session:test_client.py:phases_of_the_builder_wait_for_the_end_of_its_line_and_only_the_newest_is_shown"]),
    ("escapes_in_a_phase_of_the_builder", [("hatchd/speaker/phases.c", "if (text_is_plain(text, len)) {", "if (true) {")],
     ["unit:phases:what_acts_on_a_terminal_is_escaped", "session:test_server.py:phases_of_the_builder_come_in_order_with_its_log"]),
    ("cut_of_a_long_phase", [("hatchd/speaker/phases.c", "len = whole_characters(phases->line, len);", "(void)whole_characters;")],
     ["unit:phases:a_long_line_is_cut_at_a_character"]),
    ("pause_between_phases", [("hatchd/speaker/phases.c", "< PHASES_MANY ? PHASES_PAUSE_MS", "< PHASES_MANY ? 0")],
     ["unit:phases:takes_a_phase_once"]),
    ("long_pause_between_phases", [("hatchd/speaker/phases.c", "phases->n_said += phases->n_said < PHASES_MANY;", "")],
     ["unit:phases:many_phases_are_followed_by_fewer"]),
    ("same_phase_again", [("hatchd/speaker/phases.c", "if (strcmp(phases->text, phases->said) == 0)", "if (false)")],
     ["unit:phases:the_same_again_says_nothing"]),
    ("pace_of_the_status", [("hatchd/speaker/talk.c", "if (talk->status_ms > clock_now_ms())", "if (false)")],
     ["session:test_server.py:a_flood_of_phases_is_thinned_and_waits"]),
    ("secrets_in_phases", [("hatchd/monitor/tap.c", "{ .scan = scan, .write = pass,", "{ .scan = between->is_log ? scan : NULL, .write = pass,")],
     ["unit:tap:leaves_a_secret_out_of_what_the_builder_says_of_itself", SECRETS + "a_secret_in_a_phase_is_masked"]),
    ("heartbeats_that_nobody_asked_for", [("hatchd/speaker/talk.c", "lives && talk->heartbeat_ms > 0 ?", "lives ?")],
     ["session:test_server.py:a_request_that_lives_is_said_to_where_that_is_asked_for"]),
    ("memory_for_values_of_a_message", [("lib/wire/json.c", "if (n_values > WIRE_VALUES_MAX)", "if (false)")],
     ["unit:message:keeps_both_sides_of_every_count"]),
    ("controls_from_the_server", [("lib/wire/member.c", "len <= WIRE_PHASE_MAX && text_is_plain(text, len)", "len <= WIRE_PHASE_MAX")],
     ["session:test_client.py:phases_of_the_server_must_be_one_line_of_text"]),
    ("border_of_a_piece_in_a_reference", [("lib/scan/store.c", "return last ? len : len > keep ? len - keep : 0;", "return len;")],
     ["unit:store:finds_a_path_in_any_pieces", "unit:store:finds_a_path_over_the_borders_of_long_pieces",
      "machine:test_references.py:a_reference_over_any_border_is_found"]),
    ("steps_of_a_hash", [("lib/scan/store.c", "at < len; at += STORE_HASH_LEN)", "at < len; at++)")],
     ["unit:store:looks_through_a_gigabyte_in_a_second"]),
    ("targets_to_a_watcher", [("lib/tree/unpack.c", "show(u, target, strlen(target), 0);", "")],
     ["unit:unpack:shows_files_and_targets_to_a_watcher"]),
    ("verdict_on_references", [("hatch-client/references.c", "if (!fail || references->n_found == 0)", "if (true)")],
     ["machine:test_references.py:an_undeclared_reference_fails_the_build_where_that_is_asked_for"]),
    ("stricter_of_two_words", [("hatch-client/exchange.c", "asked > said ? asked : said", "asked ? asked : said")],
     ["machine:test_references.py:an_undeclared_reference_fails_the_build_where_that_is_asked_for"]),
    ("references_without_a_sandbox", [("hatch-client/nix.c", "if (is_of_sandbox(line, len))", "if (is_of_sandbox(line, len) || true)")],
     ["session:test_client.py:undeclared_references_are_looked_for_in_sandboxes_alone"]),
    ("sandbox_without_variables", [("hatch-client/nix.c", "return nix_is_build() || nix_find_sandbox(NULL) != 0;", "return nix_is_build();")],
     ["session:test_client.py:a_sandbox_without_variables_is_one_all_the_same"]),
    ("references_that_cannot_be_checked", [("hatch-client/exchange.c", "if (policy != REFERENCES_FAIL) {", "if (true) {")],
     ["session:test_client.py:undeclared_references_are_looked_for_in_sandboxes_alone"]),
    ("reason_behind_a_sign_of_life", [("hatch-client/exchange.c", "\tint r = 0;\n\n\twhile (r == 0 && x->phase != PHASE_ENDED)\n\t\tr = step(x, err);\n\tif (r == 0)\n\t\treturn 0;\n\t*err = *write_err;", "\tint r = step(x, err);\n\n\tif (r == 0 && x->phase == PHASE_ENDED)\n\t\treturn 0;\n\t*err = *write_err;")],
     ["session:test_client.py:a_refusal_in_the_middle_of_an_input_is_told"]),
    ("connection_as_the_log_of_nix", [("hatch-client/nix.c", "return fstat((int)fd, &st) < 0 || S_ISSOCK(st.st_mode) ? -1 : (int)fd;", "(void)st;\n\treturn (int)fd;")],
     ["session:test_client.py:the_connection_is_not_taken_for_the_log_of_nix"]),
    ("signs_of_life_before_a_server_that_takes_nothing", [("hatch-client/exchange.c", "x->wire.patience = be_patient;", "(void)be_patient;")],
     ["session:test_client.py:a_server_that_takes_nothing_for_a_while_is_waited_for_with_signs_of_life"]),
    ("signs_of_life_of_a_transfer", [("hatch-client/progress.c", "\t} else {\n\t\t(void)progress_patience(progress);", "\t} else {")],
     ["session:test_client.py:bytes_that_go_or_come_slowly_are_signs_of_life"]),
    ("other_outputs_as_references", [("hatch-client/request.c", "path ? outputs_add_own(outputs, path, err) : 0", "0 * !path")],
     ["machine:test_references.py:an_output_that_was_not_asked_for_is_known_too"]),
    ("quotes_in_a_phase", [("hatch-client/progress.c", "if (*p == '\"' || *p == '\\\\')\n\t\t\tret[n++] = '\\\\';", "")],
     ["session:test_client.py:words_of_the_server_are_escaped_in_instructions_to_nix"]),
    ("controls_in_a_phase", [("hatch-client/progress.c", "text_escape(text, strlen(text), clean, sizeof(clean));", "(void)snprintf(clean, sizeof(clean), \"%s\", text);")],
     ["session:test_client.py:words_of_the_server_are_escaped_in_instructions_to_nix"]),
    ("end_of_a_transfer", [("hatch-client/exchange.c", "\tprogress_transfer_end(&x->progress);\n", "")],
     ["session:test_client.py:a_transfer_that_fails_ends_too_and_the_reason_is_last"]),
    # --- what a builder sees
    ("nosuid", [(ATTRIBUTES, "ATTR_DATA = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV", "ATTR_DATA = MOUNT_ATTR_NODEV")],
     [SANDBOX + "mounts_of_a_builder_are_restricted"]),
    ("nodev", [(ATTRIBUTES, "ATTR_DATA = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV", "ATTR_DATA = MOUNT_ATTR_NOSUID")],
     [SANDBOX + "mounts_of_a_builder_are_restricted"]),
    ("read_only", [(ATTRIBUTES, "ATTR_READ_ONLY = ATTR_DATA | MOUNT_ATTR_RDONLY", "ATTR_READ_ONLY = ATTR_DATA")],
     [SANDBOX + "mounts_of_a_builder_are_restricted"]),
    ("recursive_attributes", [("hatchd/sandbox/mount.c", "set_attributes(fd, AT_RECURSIVE, attributes)", "set_attributes(fd, 0, attributes)")],
     [SANDBOX + "mounts_below_a_bind_are_restricted_too"]),
    ("unmount_of_the_old_root", [(VIEW, " ||\n\t    syscall(SYS_umount2, \".\", MNT_DETACH_) < 0", "")],
     [SANDBOX + "the_root_of_the_host_is_gone"]),
    ("private_mounts", [(VIEW, "syscall(SYS_mount, NULL, \"/\", NULL, MS_REC_ | MS_PRIVATE_, NULL) < 0", "false")],
     [SANDBOX + "mounts_of_a_builder_are_not_shared", SANDBOX + "mounts_of_a_request_never_show_on_the_host"]),
    ("proc_sys", [(KERNEL, "\"proc/sys\",", "")], [SANDBOX + "system_and_proc_are_read_only"]),
    ("proc_pressure", [(KERNEL, "\"proc/pressure\",", "")], [SANDBOX + "system_and_proc_are_read_only"]),
    ("owner_of_the_layer", [("hatchd/slot/scratch.c", "offsetof(struct scratch, upper_fd), 01775, OWNER_GROUP", "offsetof(struct scratch, upper_fd), 01775, OWNER_USER")],
     [SANDBOX + "the_store_below_the_outputs_stays", SANDBOX + "layers_belong_to_root_and_to_one_request"]),
    ("mode_of_the_layer", [("hatchd/slot/scratch.c", "offsetof(struct scratch, upper_fd), 01775", "offsetof(struct scratch, upper_fd), 0775")],
     [SANDBOX + "the_store_below_the_outputs_stays"]),
    ("session_keyring", [(INIT, "r = leave_keyrings(&err);", "(void)leave_keyrings;")],
     [SANDBOX + "keyrings_are_out_of_reach"]),
    ("oom_of_the_whole_group", [(CONTROL, "r = fd_write_file(cgroup->dir_fd, \"memory.oom.group\", \"1\");", "r = 0;")],
     [LIMITS_QEMU + "a_child_that_uses_up_the_memory_takes_its_builder_along"]),
    ("swap_beside_a_limit_on_memory", [(CONTROL, "(!value && !no_swap)", "!value")],
     [LIMITS_QEMU + "swap_is_used_as_far_as_the_definition_says"]),
    ("nothing_made_in_what_is_written", [("hatchd/sandbox/place.c", "if (!holder || holder->kind != PLACE_WRITE)", "if (!holder || holder->at)")],
     [VIEWS + "nothing_is_made_in_what_is_written_though_the_place_vanishes_meanwhile"]),
    ("what_a_view_lacks", [("hatchd/config/place.c", "return missing ? fail_held(builder, place, err) : 0;", "return missing && !place->at ? fail_held(builder, place, err) : 0;")],
     [VIEWS + "what_a_view_lacks_is_found_before_a_slot_is_taken", VIEWS + "nothing_is_made_in_what_is_written_for_a_place_inside_of_it"]),
    ("refusal_of_limits_that_nothing_holds", [("hatchd/slot/control.c", "if (!missing[0] || builder->limits_optional)", "if (true)")],
     [LIMITS + "a_limit_that_the_host_cannot_hold_is_refused_before_a_slot_is_taken"]),
    ("delegation_before_processes_are_moved", [(CONTROL, "!control_is_asked(limits) || !is_delegated(cgroup->parent_fd)", "!control_is_asked(limits)")],
     ["unit:control:applies_nothing_where_nothing_was_delegated"]),
    ("limits_of_the_service_in_explain", [("hatchctl/explain.c", "r = rlimits_check(builder, unit_limits(&answer->unit), &answer->err);", "r = 0;")],
     [HATCHCTL + "explain_and_check_know_the_limits_of_the_service"]),
    ("limits_of_the_service_in_check", [("hatchd/config/check.c", "if (rlimits_check(builder, unit_limits(checking->unit), &err) < 0)", "if (false)")],
     [HATCHCTL + "explain_and_check_know_the_limits_of_the_service"]),
    ("refusal_of_limits_above_our_own", [("hatchd/monitor/ask.c", "r = check_rlimits(job, err);", "(void)check_rlimits;")],
     [LIMITS + "a_resource_limit_above_that_of_the_service_is_refused"]),
    ("size_of_a_scratch_in_memory", [("hatchd/slot/scratch.c", "{ \"size\", size },", "{ \"mode\", \"0700\" },")],
     [LIMITS + "a_scratch_in_memory_holds_as_much_as_its_definition_says"]),
    ("inodes_of_a_scratch_in_memory", [("hatchd/slot/scratch.c", "{ \"nr_inodes\", inodes },", "{ \"mode\", \"0700\" },")],
     [LIMITS + "a_scratch_in_memory_holds_as_much_as_its_definition_says"]),
    ("watcher_of_scratch", [("hatchd/monitor/build.c", "(void)helper_go(&job->gauge);", "{}")],
     [LIMITS + "a_watcher_ends_a_builder_with_too_much_in_its_scratch", INPUT_SESSION + "scratch_is_watched_while_inputs_come"]),
    ("watcher_while_inputs_come", [("hatchd/monitor/inputs.c", "job_hear_and_gauge(job,", "job_hear(job,")],
     [INPUT_SESSION + "scratch_is_watched_while_inputs_come"]),
    ("watcher_before_the_builder", [("hatchd/monitor/hooks.c", "job_hear_and_gauge(job,", "job_hear(job,")],
     [LIMITS + "a_watcher_does_not_wait_for_the_builder"]),
    ("price_of_directories", [(UNPACK, "int r = count_bytes(u, TREE_DIRECTORY_PRICE);", "int r = 0;")],
     ["unit:unpack:refuses_what_is_above_each_limit", INPUT_SESSION + "a_directory_has_its_price"]),
    ("price_of_symlinks", [(UNPACK, "r = count_bytes(u, strlen(target));", "r = 0;")],
     ["unit:unpack:refuses_what_is_above_each_limit"]),
    ("depth_of_watched_directories", [("hatchd/monitor/gauge.c", "gauge->too_deep = true;", "{}")],
     [LIMITS + "a_watcher_ends_a_builder_with_too_much_in_its_scratch"]),
    ("limits_of_a_process", [(INIT, "r = rlimits_set(&plan->request->builder->limits);", "{}")],
     [SANDBOX + "signal_state_umask_and_limits_that_hatchd_inherits_are_reset"]),
    ("signal_state", [(INIT, "r = reset_signals();", "(void)reset_signals;")],
     [SANDBOX + "signal_state_umask_and_limits_that_hatchd_inherits_are_reset"]),
    ("umask", [(INIT, "(void)umask(022);", "")],
     [SANDBOX + "signal_state_umask_and_limits_that_hatchd_inherits_are_reset"]),
    ("session", [(INIT, "return setsid() < 0 ? error_errno", "return false ? error_errno")],
     [SANDBOX + "a_builder_is_in_a_session_of_the_sandbox_without_a_terminal"]),
    ("check_of_the_program", [(INIT, "r = verify_program(plan);", "(void)verify_program;")],
     [LIFETIME + "a_program_that_is_replaced_after_it_was_opened_is_not_run"]),
    ("nothing_held_while_waiting", [(EQUIP, "\n\tequipment_done(&job->equipment);\n\treturn r;", "\n\treturn r;")],
     [WAITING + "a_request_that_waits_holds_no_secret", "qemu:test_waiting.py:a_request_that_waits_holds_no_loop_device"]),
    ("what_was_seen_before_the_wait", [(EQUIP, "if (!is_same(&job->seen[i], &job->equipment.marks[i]))", "if (!is_same(&job->seen[i], &job->seen[i]))")],
     [LIFETIME + "a_program_that_was_replaced_while_the_request_waited_is_not_run",
      WAITING + "what_was_changed_while_a_request_waited_is_not_used"]),
    # --- a root of the builder's own
    ("end_of_a_tree", [("hatchd/config/trusted-path.c", "if (is_at_root(walk))", "(void)is_at_root;\n\tif (false)")],
     ["unit:config:looks_for_the_command_inside_of_a_root"]),
    ("view_of_the_command", [("hatchd/config/command.c", "return shown->root.fd >= 0 ? 0 : fail_not_shown(NULL, path, err);", "return 0;")],
     ["unit:config:a_view_must_show_the_command_and_what_starts_it",
      VIEWS + "a_command_that_the_view_does_not_show_is_refused_before_a_slot_is_taken"]),
    ("links_of_the_command_in_a_view", [("hatchd/config/trusted-path.c", "if (walk->view && strlen(walk->rest) < walk->shown_len)", "(void)aim;\n\tif (false)")],
     ["unit:config:a_view_must_show_the_command_and_what_starts_it"]),
    ("loader_of_the_command", [("hatchd/config/trusted-path.c", "? read_loader(fd, &start.head, ret)", "? ((void)read_loader, 0)")],
     ["unit:config:a_view_must_show_the_loader_of_a_program"]),
    ("places_of_hatch_in_a_tree", [("hatchd/config/root.c", "if (S_ISDIR(st.st_mode))", "if (true)")],
     ["unit:config:a_root_has_room_for_the_places_of_hatch", ROOT + "a_link_or_file_where_hatch_puts_its_own_is_refused"]),
    ("dev_of_a_tree", [(KERNEL, "view_has_own_root(view) ? view_hide_devices(view, err) : 0", "0")],
     [ROOT + "what_a_tree_has_in_dev_is_no_device_of_the_builder"]),
    ("read_only_dev_over_a_tree", [(VIEW, "view->dev_fd >= 0", "false")], [ROOT + "nothing_of_a_tree_can_be_changed"]),
    ("links_in_the_etc_of_a_tree", [(PLACE, "int r = dir_fd < 0 ? dir_fd : view_remove_file(dir_fd, name);\n\n\treturn", "int r = dir_fd < 0 ? dir_fd : 0;\n\n\treturn")],
     [ROOT + "links_in_the_etc_of_a_tree_are_replaced_and_not_followed"]),
    ("links_in_a_tree", [(PLACE, "open_resolved(root_fd, path, flags, RESOLVE_IN_ROOT)", "open_resolved(root_fd, path, flags, 0)")],
     [ROOT + "links_on_the_way_to_a_place_do_not_lead_out_of_a_tree"]),
    ("read_only_root", [(VIEW, "bool writable = view->plan->request->builder->root.top == ROOT_TOP_MEMORY;", "bool writable = true;")],
     [ROOT + "nothing_of_a_tree_can_be_changed"]),
    ("tree_of_a_bundle", [("hatchd/config/root.c", "r = check_inside(builder->root.bundle, path, &why);", "(void)check_inside;")],
     ["unit:bundle:the_tree_is_inside_of_the_bundle"]),
    ("sources_of_a_bundle", [("hatchd/config/bundle.c", "expect_path(in, &source) < 0 ? in->first : check_source(in, &source)", "expect_path(in, &source)")],
     ["unit:bundle:names_what_it_does_not_support"]),
    ("variables_of_a_bundle", [("hatchd/config/words.c", "if (check_bundle_variable(in, item, builder, name) < 0)", "(void)check_bundle_variable;\n\tif (false)")],
     ["unit:bundle:names_what_it_does_not_support"]),
    ("masked_paths", [("hatchd/config/view-plan.c", "r = add_paths(&plan, VIEW_HIDE, builder->root.masked);", "r = 0;")],
     [ROOT + "the_standard_file_of_a_bundle_runs_its_process"]),
    ("owner_of_an_image", [("hatchd/config/root.c", "r = trusted_file(path, config->owner_uid, &fd, &why);", "fd = open(path, O_RDONLY | O_CLOEXEC);")],
     ["unit:config:tells_what_an_image_is_by_what_is_in_it"]),
    # --- the order
    ("kill_before_packing", [(CLEAN, "if (job->sandbox.pid == 0 && job->sandbox.pasta == 0)", "if (true)")],
     [LIFETIME + "a_sandbox_whose_init_is_stopped_is_killed_all_the_same"]),
    ("removal_of_what_was_announced", [(CLEAN, "r == 0 && job->made.scratch[0]", "r == 0 && job->scratch.dir_fd >= 0")],
     [HOST + "running_out_of_descriptors_at_any_point_is_a_clean_failure"]),
    ("signal_of_a_death", [(OUTPUTS, "receipt->exit_code = 128 + receipt->exit_signal;", "receipt->exit_code = 0;")],
     [LIFETIME + "a_death_by_signal_is_told_as_such"]),
    # --- who asks, and what is believed
    ("seals_of_the_record", [("hatchd/request/record.c", "seals < 0 || (seals & all_seals) != all_seals", "false")],
     ["unit:record:believes_only_what_is_sealed"]),
    ("writer_of_the_journal", [("hatchctl/journal.c", "{ \"_UID\", writer },", "{ \"_UID\", NULL },")],
     [HATCHCTL + "history_believes_nobody_but_root"]),
    ("holder_of_the_lock_that_is_cancelled",
     [("hatchctl/cancel.c", "return path && stat(path, &file) == 0 && holds_lock(pid, &file);",
       "(void)holds_lock;\n\treturn path && stat(path, &file) == 0;")],
     [HATCHCTL + "cancel_never_signals_a_process_that_does_not_hold_the_lock"]),
    ("root_of_the_administrator", [("hatchctl/requests.c", "!options->unprivileged && geteuid() != 0", "false")],
     [HATCHCTL + "only_root_sees_and_ends_requests_of_others"]),
    ("escaping_for_the_terminal", [("hatchctl/table.c", "text_escape(bytes, len, escaped, room);", "(void)memcpy(escaped, bytes, len);\n\tescaped[len] = 0;")],
     [HATCHCTL + "history_shows_nothing_that_a_terminal_obeys"]),
    ("line_of_their_own", [(POLICY, "bool own_name = needs_own_name(config, peer);", "bool own_name = false;\n\n\t(void)needs_own_name;")],
     [IDENTITY + "root_nobody_and_build_users_need_their_own_line"]),
    ("many_groups", [("hatchd/request/peer.c", "errno != ERANGE || room == PEER_GROUPS_MAX", "true")],
     [IDENTITY + "a_peer_with_hundreds_of_groups_is_known_by_all_of_them"]),
    ("owner_of_configuration_of_this_machine", [("hatchd/config/config.c", "\treturn report && report->offline;", "\treturn true;")],
     ["unit:config:refuses_files_that_others_can_write"]),
    ("owner_of_configuration", [("hatchd/config/trusted-path.c", "r = check_owner(walk, &st, err);", "r = 0;")],
     [HOST + "a_configuration_that_others_could_write_is_refused", HOST + "a_program_that_others_could_write_is_never_run"]),
    ("escaping_of_words_of_a_client", [("hatchd/request/rulings.c", "text_escape(text, len, buf, RULING_SHOWN_LEN);", "(void)snprintf(buf, RULING_SHOWN_LEN, \"%s\", text);")],
     [LIFETIME + "words_of_a_client_cannot_forge_lines_of_the_journal"]),
    ("magic_links_to_a_bind", [(PLACE, ".resolve = RESOLVE_NO_MAGICLINKS | resolve", ".resolve = resolve"),
                               (PLACE, "strcmp(real, path) != 0 && i < ARRAY_SIZE(places)", "false")],
     [SANDBOX + "a_link_of_a_user_cannot_turn_a_bind_to_another_place"]),
    ("hidden_directories", [("hatchd/sandbox/empty.c", "{ \"mode\", \"0000\" }, { \"nr_inodes\"", "{ \"mode\", \"0755\" }, { \"nr_inodes\"")],
     [VIEWS + "what_is_hidden_cannot_be_read_listed_or_written"]),
    ("hidden_files", [("hatchd/sandbox/empty.c", "O_RDONLY | O_CREAT | O_CLOEXEC, 0000", "O_RDONLY | O_CREAT | O_CLOEXEC, 0644")],
     [VIEWS + "what_is_hidden_cannot_be_read_listed_or_written"]),
    ("flags_of_what_hides", [("hatchd/sandbox/empty.c", "ATTR_HIDDEN = ATTR_READ_ONLY | MOUNT_ATTR_NOEXEC", "ATTR_HIDDEN = ATTR_DATA | MOUNT_ATTR_NOEXEC")],
     [VIEWS + "what_is_hidden_is_read_only"]),
    ("missing_to_hide", [("hatchd/sandbox/empty.c", "if (row->optional && view_is_missing(target_fd))", "if (view_is_missing(target_fd))")],
     [VIEWS + "hiding_what_is_not_there_is_an_error"]),
    ("unseen_to_hide", [("hatchd/sandbox/empty.c", "row->optional && view_is_missing(target_fd)", "row->optional && target_fd < 0")],
     [ROOT + "what_a_bundle_masks_and_cannot_be_looked_at_ends_the_request"]),
    ("stage_of_mounts", [(VIEW, "view_leave_stage, view_limit_root,", "view_limit_root,")],
     [VIEWS + "what_is_hidden_cannot_be_read_listed_or_written"]),
    ("inodes_of_a_tmpfs", [("hatchd/sandbox/empty.c", "size / BYTES_PER_INODE + 1", "size")],
     [VIEWS + "a_tmpfs_has_its_size_and_is_the_builder_s"]),
    ("files_of_the_kernel_as_a_source", [(PLACE, "config->dir, \"/proc\", \"/sys\",\n\t\t\"/dev\"\n", "config->dir\n")],
     [VIEWS + "a_link_of_a_user_does_not_lead_to_the_kernel_s_files"]),
    ("order_of_places", [("hatchd/config/place.c", "qsort(places, builder->view.n_places, sizeof(*places), compare_places);", "(void)compare_places;")],
     ["unit:config:places_are_sorted_from_the_outside_to_the_inside", VIEWS + "a_place_can_be_read_only_inside_of_one_that_is_written"]),
    ("owners_of_layers", [("hatchd/sandbox/overlay.c", "stack->place->top == TOP_NONE || view->plan->layers_ns_fd < 0", "true")],
     [VIEWS + "a_builder_changes_everything_on_a_top_on_disk_and_nothing_below_it"]),
    ("order_of_layers", [("hatchd/sandbox/overlay.c", "stack->fds[stack->n_fds++] = fd;", "memmove(stack->fds + 1, stack->fds, stack->n_fds++ * sizeof(int)), stack->fds[0] = fd;"),
                         ("hatchd/sandbox/overlay.c", "#include <stdio.h>", "#include <stdio.h>\n#include <string.h>")],
     [VIEWS + "layers_are_merged_in_the_order_of_the_text"]),
    ("overlays_without_a_top", [("hatchd/sandbox/overlay.c", "return mount_clone(stack->fds[0], stack->place->lower[0], ATTR_READ_ONLY, err);", "return mount_clone(stack->fds[0], stack->place->lower[0], ATTR_DATA, err);")],
     [VIEWS + "one_layer_without_a_top_is_read_only"]),
    ("flags_of_an_overlay", [("hatchd/sandbox/overlay.c", "ATTR_READ_ONLY : ATTR_DATA,", "ATTR_READ_ONLY : 0,")],
     [VIEWS + "set_id_and_device_flags_hold_for_overlays"]),
    ("removal_of_tops", [("hatchd/slot/scratch.c", "0700, OWNER_USER, .of_builder = true,\n\t  WITH_TOPS },", "0700, OWNER_USER, .when = WITH_TOPS },")],
     [VIEWS + "tops_belong_to_one_request_and_are_gone_after_it"]),
    ("layer_at_fault", [("hatchd/sandbox/overlay.c", "if (!can_stack(view, stack, i))", "if (can_stack(view, stack, i) && false)")],
     [VIEWS + "layers_that_are_stacked_too_deep_are_named"]),
    ("marks_of_a_user", [("hatchd/sandbox/overlay.c", ".user_marks = !view->plan->account->change,", ".user_marks = true,")],
     [VIEWS + "marks_that_a_user_may_set_mean_nothing"]),
    ("colon_in_a_layer", [("hatchd/config/overlay.c", "if (strchr(item->string, ':'))", "if (false)")],
     [VIEWS + "a_layer_with_a_colon_is_refused_with_its_place"]),
    ("size_of_a_tmpfs", [("hatchd/sandbox/empty.c", "room_for(size, size /", "room_for(64 * size, size /")],
     [VIEWS + "a_tmpfs_has_its_size_and_is_the_builder_s", VIEWS + "a_top_in_memory_has_its_size"]),
    ("device_controller", [("hatchd/monitor/build.c", "int r = devices_confine(&job->equipment.devices, job->cgroup.dir_fd);", "int r = 0;")],
     [VIEWS + "other_nodes_do_not_open_wherever_they_are"]),
    ("end_of_the_list_of_devices", [("hatchd/slot/devices.c", "add_answer(program, false);", "add_answer(program, true);")],
     [VIEWS + "other_nodes_do_not_open_wherever_they_are"]),
    ("devices_of_the_definition", [("hatchd/slot/devices.c", "i < devices->n_items; i++) {\n\t\tconst struct device *device", "i < 0; i++) {\n\t\tconst struct device *device")],
     [VIEWS + "a_device_opens_for_the_builder_that_names_it_and_for_no_other"]),
    ("word_about_a_forbidden_device", [(KERNEL, "int r = source_fd < 0 ? source_fd : check_controller(source_fd, at, err);", "int r = source_fd < 0 ? source_fd : 0;\n\n\t(void)check_controller;")],
     [VIEWS + "a_device_above_which_a_unit_forbids_all_is_an_error_that_says_so"]),
    ("kind_of_a_device", [("hatchd/config/place.c", "place->kind == PLACE_DEVICE && !S_ISCHR(st.st_mode)", "false && !S_ISCHR(st.st_mode)")],
     [VIEWS + "a_device_that_is_none_is_found_with_its_place"]),
    ("places_of_users_and_services", [("hatchd/config/view-plan.c", "if (strcmp(entry, names[i]) == 0)", "if (false)")],
     [VIEWS + "the_host_s_tree_is_shown_read_only_without_users_and_services"]),
    ("directory_of_the_store", [("hatchd/config/view-plan.c", "return path_is_below(config->store_dir, entry);", "return false;")],
     [VIEWS + "the_host_s_tree_is_shown_read_only_without_users_and_services"]),
    ("configuration_in_the_host_s_tree", [("hatchd/config/view-plan.c", "{ own, ARRAY_SIZE(own), host },", "{ own, ARRAY_SIZE(own), false },")],
     [VIEWS + "the_host_s_tree_is_shown_read_only_without_users_and_services"]),
    ("homes_elsewhere", [("hatchd/sandbox/host.c", "\t\thide_homes,\n", "")],
     [VIEWS + "a_home_elsewhere_and_the_kernel_s_files_elsewhere_are_hidden"]),
    ("files_of_the_kernel_elsewhere", [("hatchd/sandbox/host.c", "\t\thide_kernels,\n", "")],
     [VIEWS + "a_home_elsewhere_and_the_kernel_s_files_elsewhere_are_hidden"]),
    ("sockets_in_the_host_s_tree", [("hatchd/sandbox/host.c", "\t\thide_sockets,\n", "")],
     [VIEWS + "no_socket_of_the_host_can_be_connected_to"]),
    ("unseen_sockets_in_the_host_s_tree", [("hatchd/sandbox/host.c", "if (view_is_missing(fd))", "if (fd < 0)")],
     [VIEWS + "a_socket_of_the_host_that_cannot_be_looked_at_ends_the_request"]),
    ("comparison_of_layers", [("hatchd/config/layers.c", "a->st_size == b->st_size && same_bytes(a_fd, b_fd, name)", "a->st_size == b->st_size"),
                              ("hatchd/config/layers.c", "static bool same_bytes(", "__attribute__((unused)) static bool same_bytes(")],
     [VIEWS + "what_layers_hold_in_different_forms_is_listed_on_request"]),
    ("links_inside_of_a_bind", [(PLACE, "open_resolved(root_fd, path, flags, RESOLVE_IN_ROOT)", "open_resolved(root_fd, path, flags, 0)")],
     [SANDBOX + "a_link_inside_of_a_bind_does_not_lead_to_the_host"]),
    # --- how a request ends
    ("leash_of_a_helper", [("hatchd/monitor/helper.c", "if (leash_wear(result_fd) < 0)", "if (result_fd < 0)")],
     [ENDS + "a_client_that_leaves_before_its_outputs_come_frees_the_slot", "unit:helper:one_that_works_for_ever_is_ended", "unit:helper:one_that_was_stopped_is_ended", "unit:helper:a_result_has_its_time_and_no_more"]),
    ("patience_with_a_helper", [("hatchd/leash.c", "if (child > 0 && !ended && fd_wait(pid_fd, POLLIN, KILL_LIMIT_MS) <= 0)", "if (0)")],
     ["unit:helper:one_that_is_out_of_reach_is_waited_for_but_not_for_ever"]),
    ("reasons_that_strangers_are_not_told", [("hatchd/monitor/tell.c", 'tell ? error_peer_text(err) : "the server cannot run this request"', "error_peer_text(err)")],
     ["machine:test_service.py:a_broken_definition_spoils_only_its_own_builder"]),
    ("deadline_of_a_wait", [("hatchd/monitor/tell.c", "while (left_ms > 0) {", "for (;;) {\n\t\tleft_ms = left_ms > 0 ? left_ms : 0;"),
                            ("hatchd/monitor/tell.c", "if (job->stopping || (r < 0", "if (job->stopping || left_ms == 0 || (r < 0")],
     ["unit:tell:what_is_said_after_the_deadline_is_not_heard", "unit:tell:who_speaks_without_a_pause_is_late_all_the_same"]),
    ("stop_in_the_grace_of_a_limit", [("hatchd/monitor/tell.c", "bool stopped = job->stop_signal != 0;", "bool stopped = job->stopping;")],
     ["unit:tell:a_stop_that_came_before_shortens_the_last_wait"]),
    ("second_start_of_a_builder", [("hatchd/monitor/watch.c", "\tif (watch->started_ms)\n\t\treturn;\n", "")], ["unit:watch:a_builder_starts_once"]),
    ("success_of_a_program_that_was_not_executed", [("hatchd/monitor/watch.c", "code = report.code > 0 ? report.code : EIO;", "code = report.code;")],
     ["unit:watch:a_program_that_was_not_executed_is_no_success"]),
    ("word_of_a_server_without_a_speaker", [(MONITOR, "if (!job->code_name)\n\t\tspeaker_refuse(conn_fd);", "")],
     ["session:test_server.py:a_server_that_cannot_make_a_speaker_says_so"]),
    ("words_of_a_helper", [("hatchd/monitor/helper.c", "return error_hint(err, \"%.*s\", (int)sizeof(said->hint), said->hint);", "*err = *said;\n\treturn -err->code;")],
     ["unit:helper:words_that_do_not_end_are_cut_and_conceal_nothing"]),
    ("blame_of_a_helper", [("hatchd/monitor/helper.c", "known ? said->blame : BLAME_HOST", "known ? BLAME_HOST : said->blame")],
     ["unit:helper:words_that_do_not_end_are_cut_and_conceal_nothing", "unit:helper:a_result_has_its_time_and_no_more"]),
    ("leash_of_the_speaker", [("hatchd/speaker/speaker.c", "leash_wear(ends->leash[1]) < 0 ||", "")],
     [ENDS + "a_speaker_that_is_stopped_holds_neither_slot_nor_instance"]),
    ("end_of_a_stream_that_lives_on", [("hatchd/speaker/talk.c", "\tstream->left = fd_left_in_pipe(stream->fd);\n\tif (stream->left == 0)", "\tif (stream->left == 0)")],
     [ENDS + "ends_of_a_builder_that_live_on_hold_up_nobody"]),
    ("bound_of_a_stream_that_lives_on", [("hatchd/speaker/talk.c", "\t\tstream->left -= (uint64_t)n;", "\t\t{}")],
     [ENDS + "who_writes_to_the_ends_of_a_dead_builder_is_not_heard"]),
    ("word_to_the_tap", [(BUILD, "\t\ttap_drain(&job->tap);", "\t\t{}")],
     [ENDS + "ends_of_a_builder_that_live_on_hold_up_nobody", ENDS + "a_builder_whose_ends_live_on_is_ended_like_any_other"]),
    ("bound_of_the_tap", [("hatchd/monitor/tap.c", "stream->left -= draining ? (size_t)n : 0;", "")],
     ["unit:tap:what_is_in_the_pipes_of_a_dead_builder_is_all"]),
    ("signs_of_life_until_outputs", [("hatchd/speaker/talk.c", "talk->accepted && !talk->returning", "talk->accepted && !talk->ended")],
     [ENDS + "signs_of_life_come_until_the_first_output"]),
    ("other_ioctls", [(FILTER, "SCMP_SYS(ioctl), 1,\n\t\t                     SCMP_A1(SCMP_CMP_EQ, FIONREAD));", "SCMP_SYS(ioctl), 0);")],
     ["unit:filter:kills_a_speaker_that_does_more_than_talk", "unit:filter:kills_an_unpacker_that_does_more_than_make_files"]),
    # --- secrets
    ("filter_of_the_tap", [("hatchd/monitor/tap.c", "return filter_tap(err);", "return 0;")],
     [SECRETS + "the_tap_is_the_build_user_s_and_can_only_pass_on"]),
    ("end_of_the_tap", [(BUILD, "job->tap.pid > 0 ? helper_finish(&job->tap, TAP_LIMIT_MS, err) : 0", "0")],
     [SECRETS + "a_request_whose_tap_died_is_no_success"]),
    ("pulse_of_the_tap", [("hatchd/monitor/tap.c", "\t\tpulse(stream->tap);\n", "\t\t(void)pulse;\n")],
     ["unit:tap:leaves_a_secret_out_that_comes_in_two_writes", SECRETS + "a_builder_whose_words_are_held_back_is_not_silent"]),
    ("pulse_at_the_speaker", [("hatchd/speaker/talk.c", "\t\tfeel_pulse(talk);\n", "\t\t(void)feel_pulse;\n")],
     [SECRETS + "a_builder_whose_words_are_held_back_is_not_silent"]),
    ("mask_of_the_log", [(BUILD, "{ .scan = job->equipment.credentials.scan,", "{ .scan = NULL,")],
     [SECRETS + "a_secret_in_the_log_is_masked_in_every_form", SECRETS + "a_secret_that_comes_in_pieces_is_masked"]),
    ("look_at_outputs", [("hatchd/monitor/packer.c", "int r = packing->scan\n", "int r = false\n")],
     [SECRETS + "an_output_that_holds_a_secret_is_refused_and_named", SECRETS + "a_secret_over_the_border_of_a_block_is_found",
      SECRETS + "a_secret_behind_a_hole_is_found"]),
    ("size_of_the_root", [("hatchd/sandbox/root.c", "return view_leave_room(view->layer_fd, builder->root.size, err);", "return view_leave_room(view->layer_fd, builder->root.size + OWN_SIZE, err);")],
     ["machine:test_root.py:the_size_of_a_root_is_what_the_builder_may_write"]),
    ("outputs_together", [("hatchd/monitor/packer.c", "tree_pack(&root, &limits, &used,", "tree_pack(&root, &limits, used.bytes ? NULL : NULL,")],
     ["session:test_server.py:the_limit_of_outputs_is_of_the_bytes_in_all_their_files"]),
    ("look_at_names", [("lib/tree/pack.c", "int r = show_name(p);", "int r = 0 * sizeof(show_name);")],
     ["unit:pack:an_eye_ends_the_look", SECRETS + "a_secret_in_a_name_or_a_target_is_found",
      SECRETS + "a_special_file_with_a_secret_in_its_name_is_not_named"]),
    ("look_at_targets", [("lib/tree/pack.c", "r = show_target(p, target, (size_t)n);", "r = 0 * (int)sizeof(show_target);")],
     ["unit:pack:shows_all_of_a_tree_that_would_be_sent", SECRETS + "a_secret_in_a_name_or_a_target_is_found"]),
    ("place_without_the_secret", [("hatchd/monitor/inspect.c", "if (part != TREE_PART_NAME)", "if (true)")],
     [SECRETS + "a_secret_in_a_name_or_a_target_is_found"]),
    ("alignments_of_base64", [("lib/scan/needle.c", "before < BASE64_GROUP", "before < 1")],
     ["unit:scan:finds_a_secret_inside_of_anything_that_was_made_base64"]),
    ("lines_of_base64", [("lib/scan/needle.c", "(at > 0 && buffer_add(&lines, \"\\n\", 1) < 0) ||", "")],
     ["unit:scan:finds_a_secret_that_base64_broke_into_lines"]),
    ("held_back_beginning", [("lib/scan/mask.c", "return mask->cursor.offset - held_len;", "return mask->cursor.offset;")],
     ["unit:mask:replaces_every_secret_wherever_the_bytes_are_cut"]),
    ("line_ends_behind_a_secret", [("lib/scan/scan.c", "secret->bytes[len - 1] == '\\n' || secret->bytes[len - 1] == '\\r'", "false")],
     ["unit:scan:leaves_line_ends_behind_a_secret_out", SECRETS + "a_secret_in_the_log_is_masked_in_every_form"]),
    ("beginnings_that_fail", [("lib/scan/scan.c", "depth < NEAR && ", "")],
     ["unit:scan:is_not_slowed_down_by_a_text_made_for_that"]),
    ("credentials_of_this_builder_alone", [("hatchd/config/view-plan.c", "builder->n_credentials > 0", "true")],
     [SECRETS + "credentials_are_in_no_other_builder"]),
    ("credentials_that_cannot_be_changed", [("hatchd/sandbox/secrets.c", "r = mount_set(fd, ATTR_SECRET_READ_ONLY, err);", "(void)ATTR_SECRET_READ_ONLY;")],
     [SECRETS + "a_builder_sees_exactly_its_credentials"]),
    ("credentials_that_are_empty", [("hatchd/request/credentials.c", "if (ret->len > 0)", "if (true)")],
     [SECRETS + "a_credential_that_is_missing_or_empty_ends_the_request_before_it_has_a_slot"]),
    ("credentials_that_the_monitor_forgets", [(BUILD, "equipment_done(&job->equipment); /* who needs it has it */", "")],
     [SECRETS + "neither_speaker_nor_monitor_has_a_secret_while_the_builder_runs"]),
    ("credentials_of_services", [("hatchd/config/place.c", '"/run/credentials", "it holds', '"/run/credential", "it holds')],
     ["unit:config:takes_values_at_the_limit_and_none_beyond", SECRETS + "no_view_shows_the_credentials_of_services"]),
    ("links_to_credentials_of_services", [("hatchd/sandbox/place.c", '"/run/credentials", ', "")],
     [SECRETS + "no_view_shows_the_credentials_of_services"]),
    # --- what the NixOS module makes
    ("optional_mark_of_paths_in_sandboxes", [(MODULE, "${place.path}?", "${place.path}")], [WRITTEN]),
    ("features_beside_those_of_nix", [(MODULE, "{ extra-system-features =", "{ system-features =")], [WRITTEN]),
    ("feature_of_a_builder", [(MODULE, 'features = if cfg.expose == "none" then null', "features = if true then null")],
     [NIX + "a_builder_is_for_derivations_with_its_feature_unless_builds_see_nothing",
      "scenario:exposure:the feature of one builder does not open the other"]),
    ("sight_of_the_hatch", [(MODULE, '(lib.mkIf (cfg.expose == "always") {', "(lib.mkIf true {")],
     [WRITTEN, "scenario:exposure:a build that requires no feature of a builder sees nothing"]),
    ("builds_without_a_derivation", [(MODULE, "missing_derivation = cfg.hook.missingDerivation;", 'missing_derivation = "expose";')],
     [WRITTEN, "scenario:distributed:a build without its derivation sees nothing where that is to hide it"]),
    ("features_that_are_not_hatch_s", [(MODULE, 'lib.filter (lib.hasPrefix "hatch-") builder.allow.features', "builder.allow.features")],
     [NIX + "builds_are_told_apart_by_the_features_that_are_about_hatch"]),
    ("requests_over_a_switch", [(MODULE, "restartIfChanged = false;", "")], [WRITTEN]),
    ("check_before_a_system", [(MODULE, "lib.optional cfg.checkConfig check", "[ ]")],
     [NIX + "a_wrong_definition_is_no_part_of_any_machine"]),
    ("members_of_the_group", [(MODULE, "extraGroups = [ cfg.buildUsers.group ];", "")],
     [WRITTEN, "scenario:basic:what the module wrote is right"]),
    ("ids_that_the_system_gives_to_others", [(MODULE_CHECKS, "own.option == other.option or null || !meet own other", "true")],
     [NIX + "module_refuses_what_contradicts_itself"]),
    ("end_of_all_ids", [(MODULE_CHECKS, "own.first + own.count <= 4294967294", "true")],
     [NIX + "module_refuses_what_contradicts_itself"]),
    ("strangers_among_the_build_users", [(MODULE_CHECKS, "assertion = strangers == [ ];", "assertion = true;")],
     [NIX + "module_refuses_what_contradicts_itself"]),
    ("speaker_that_is_somebody_else", [(MODULE_CHECKS, "!isSomebodys (config.ids.uids // config.ids.gids) cfg.settings.speaker_user", "true")],
     [NIX + "module_refuses_what_contradicts_itself"]),
    ("state_that_builds_see", [(MODULE_CHECKS, "!pathsMeet state seen", "true")],
     [NIX + "module_refuses_what_contradicts_itself"]),
    ("features_that_a_machine_has_not", [(MODULE_CHECKS, "!exposed || builder.allow.features == null ||", "true ||")],
     [NIX + "module_refuses_what_contradicts_itself"]),
    ("weakest_word_about_the_hook", [(MODULE, "lib.mkOptionDefault else", "lib.mkOverride 900 else")],
     [NIX + "module_refuses_what_contradicts_itself"]),
    ("secrets_in_the_store", [(MODULE_CHECKS, "credential.encrypted ||", "true ||")],
     [NIX + "module_refuses_what_contradicts_itself"]),
    ("hook_of_another_module", [(MODULE_CHECKS, "nix.pre-build-hook or null == cfg.hook.command", "true")],
     [NIX + "module_refuses_what_contradicts_itself"]),
    ("hardening_of_the_predecessor", [("nixos/compat.nix", "(_: part: part == null)", "(_: _: false)")],
     [NIX + "module_refuses_what_contradicts_itself", NIX + "options_of_the_predecessor_that_cannot_be_kept_are_refused_by_name"]),
    ("families_of_the_predecessor", [("nixos/service-config.nix", 'else if !has "AF_INET" && !has "AF_INET6" then\n      { network = given "none"; }', 'else if !has "AF_INET" && !has "AF_INET6" then\n      { }')],
     [NIX + "options_of_the_predecessor_become_keys_or_hold_anyway"]),
    ("calls_of_the_predecessor", [("nixos/service-config.nix", "lib.all (group: lib.elem group neverCalled) groups", "true")],
     [NIX + "options_of_the_predecessor_that_cannot_be_kept_are_refused_by_name"]),
    # --- what derivations ask for
    ("feature_of_a_request", [(LIBRARY, "requiredSystemFeatures = withFeature feature requiredSystemFeatures;", "")],
     [DERIVATIONS + "a_derivation_requires_the_feature_of_its_builder"]),
    ("feature_of_a_phase", [(LIBRARY, "withFeature (featureOf builder) (old", "withFeature null (old")],
     [DERIVATIONS + "an_ordinary_derivation_gets_the_feature"]),
    ("what_is_built_before_a_request", [(LIBRARY, 'else "${value}"', 'else builtins.unsafeDiscardStringContext "${value}"')],
     [DERIVATIONS + "paths_and_derivations_become_inputs"]),
    ("words_of_a_request", [(LIBRARY, "__structuredAttrs = true;", "")],
     [DERIVATIONS + "arguments_and_variables_stay_exact"]),
    ("complaints_before_a_build", [(LIBRARY, "if wrong == [ ] then", "if true then")],
     [DERIVATIONS + "what_is_wrong_is_said_when_it_is_evaluated"]),
    ("length_of_a_word", [(LIBRARY, "stringLength text > max", "false")],
     [DERIVATIONS + "what_is_wrong_is_said_when_it_is_evaluated"]),
    ("length_of_a_request", [(LIBRARY, "stringLength (toJSON asked) > limits.request", "false")],
     [DERIVATIONS + "what_is_wrong_is_said_when_it_is_evaluated"]),
    ("attributes_that_are_not_lost", [(LIBRARY, "request.overridden;", "[ ];")],
     [DERIVATIONS + "what_is_wrong_is_said_when_it_is_evaluated"]),
]


class Tree:
    """A copy of the sources with a build directory of its own."""

    def __init__(self, place):
        self.sources = place / "sources"
        self.build = place / "build"
        self.place = place
        self._copy()
        if not (self.build / "build.ninja").exists():
            run(["meson", "setup", "--prefix=/usr", "--sysconfdir=/etc", "-Dstatic_client=true", self.build, self.sources])

    def _copy(self):
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=TOP, check=True, capture_output=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            source, target = TOP / name, self.sources / name
            # Only what has changed: the rest is built already.
            if source.exists() and not (target.exists() and target.read_bytes() == source.read_bytes()):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)

    def read(self, name):
        return (self.sources / name).read_text()

    def write(self, name, text):
        (self.sources / name).write_text(text)

    def compile(self, tests):
        """All, unless it is enough to have the programs of unit tests."""
        alone = all(test.startswith("unit:") for test in tests)
        programs = {program for test in tests if alone for program in self._programs(test.split(":")[1])}
        run(["ninja", "-C", self.build, *(program.relative_to(self.build) for program in programs)])

    def _programs(self, unit):
        return self.build.glob(f"**/{unit}-test")

    def failed(self, tests):
        """Which of the tests fail, and which pass; the log of those that could not be run at all."""
        results = {}
        for test in tests:
            kind, file, _ = test.split(":")
            if (kind, file) not in results:
                names = [t.split(":")[2] for t in tests if t.split(":")[:2] == [kind, file]]
                results[kind, file] = getattr(self, f"_{kind}")(file, names)
        return [t for t in tests if self._is(t, "FAIL", results)], [t for t in tests if self._is(t, "ok", results)], results

    @staticmethod
    def _is(test, word, results):
        kind, file, name = test.split(":")
        return re.search(rf"^{word} {name}\b", results[kind, file], re.M) is not None

    def _unit(self, file, _names):
        [program] = self._programs(file)
        # One that is held against a file is given it.
        return output([program, *self.sources.glob(f"hatchd/**/{file}.x86_64")], 120)

    def _hook(self, file, _names):
        env = {**os.environ, "SAMPLES": self.sources / "tests/fuzz/corpus/derivation"}
        directory = "hatch-pre-build-hook"
        return output([sys.executable, self.sources / directory / file, self.build / directory / directory], 300, env)

    def _session(self, file, names):
        env = {**os.environ, "HATCHD": self.build / "hatchd/hatchd", "HATCH": self.build / "hatch-client/hatch",
               "HATCHCTL": self.build / "hatchctl/hatchctl", "SOURCE": self.sources}
        return output([sys.executable, self.sources / "tests/session" / file, *names], 600, env)

    def _nix(self, file, _names):
        env = {**os.environ, "HATCHD": self.build / "hatchd/hatchd"}
        return output([sys.executable, self.sources / "tests/nix" / file], 1800, env)

    def _machine(self, file, names):
        return self._boot("nspawn", file, names)

    def _qemu(self, file, names):
        """Where a test needs controllers of cgroup v2 or a loop device."""
        return self._boot("qemu", file, names)

    def _scenario(self, name, _subtests):
        said = output([self.sources / "tests/vm/run-scenarios", "-b", self.build, "trixie", name], 600, self._environment())
        return re.sub(rf"^(ok|FAIL) {name}: ", r"\1 ", said, flags=re.M)

    @staticmethod
    def _environment():
        return {**os.environ, "HATCH_CACHE": os.environ.get("HATCH_CACHE", TOP / ".cache")}

    def _boot(self, kind, file, names):
        """Only the tests that are named, in a file of the same name."""
        chosen = self.place / "tests" / file
        chosen.parent.mkdir(exist_ok=True)
        keep = {f"test_{name}" for name in names}
        chosen.write_text(
            (self.sources / "tests/vm" / file).read_text()
            + f"\n\nfor name in [name for name in globals() if name.startswith('test_') and name not in {keep!r}]:\n"
            + "    del globals()[name]\n"
        )
        return output([self.sources / "tests/vm/run-machine", "-b", self.build, "trixie", kind, chosen], 900, self._environment())


class Broken(Exception):
    pass


def run(argv):
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Broken(f"{argv[0]} fails: {done.stdout.decode(errors='replace')[-600:]}")


def output(argv, seconds, env=None):
    done = subprocess.run(
        [str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=seconds, env=env
    )
    return done.stdout.decode(errors="replace")


def mutate(tree, edits, tests):
    """Raises Broken if the change goes unnoticed."""
    before = {name: tree.read(name) for name, _, _ in edits}
    try:
        for name, old, new in edits:
            text = tree.read(name)
            # A pattern that stands at several places is taken away at all of them.
            if old not in text:
                raise Broken(f"{name} does not hold what is to be taken away: {old!r}")
            tree.write(name, text.replace(old, new))
        tree.compile(tests)
        red, green, results = tree.failed(tests)
    finally:
        for name, text in before.items():
            tree.write(name, text)
    missed = [test for test in tests if test not in red]
    if missed:
        raise Broken(
            "; ".join(f"{test} {'passes all the same' if test in green else 'was not run'}" for test in missed)
            + "".join(f"\n{text[-1500:]}" for text in results.values() if not green)
        )


def find():
    """Does what each row takes away still stand in the sources?"""
    lost = [f"{name}: {file} has no {old!r}" for name, edits, _ in ROWS for file, old, _ in edits
            if old not in (TOP / file).read_text()]
    for line in lost:
        print(f"FAIL every_mutation_finds_its_line: {line}")
    if not lost:
        print("ok every_mutation_finds_its_line")
    return 1 if lost else 0


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    options.add_argument("-d", metavar="DIR", type=pathlib.Path, default=TOP / ".cache/mutations")
    options.add_argument("--find", action="store_true")
    options.add_argument("names", metavar="NAME", nargs="*")
    options = options.parse_args()
    if options.find:
        return find()
    unknown = set(options.names) - {name for name, _, _ in ROWS}
    if unknown:
        sys.exit(f"mutations.py: there is no {', '.join(unknown)}")
    rows = [row for row in ROWS if not options.names or row[0] in options.names]

    tree = Tree(options.d.resolve())
    tree.compile([])
    tests = sorted({test for _, _, tests in rows for test in tests})
    _, green, _ = tree.failed(tests)
    for test in tests:
        if test not in green:
            print(f"FAIL {test}: it must pass before anything is taken away", flush=True)
    bad = len(tests) - len(green)
    for name, edits, tests in rows:
        try:
            mutate(tree, edits, tests)
            print(f"ok {name}", flush=True)
        except (Broken, subprocess.TimeoutExpired) as why:
            bad += 1
            print(f"FAIL {name}: {why}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
