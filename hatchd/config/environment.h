/*
 * Variables that a definition may not hand to a client, because they decide which code runs or are
 * hatch's own. Source: hatch-builder(5), "environment"
 */
#pragma once

/* variable_why_fixed - why no definition may set the variable at all; NULL: it may */
const char *variable_why_fixed(const char *name);

/* variable_why_dangerous - why a client may not set the variable; NULL: it may. Says nothing about
 * those above. */
const char *variable_why_dangerous(const char *name);
