// Package check runs health checks: what must hold on this host, for scripts and
// monitoring.
//
// A [Spec] says what is asked and what has to be found; [Read] reads a file of
// them, whose form README.md beside this file describes. A [Runner] asks them, many
// at once, from facts that one round reads once and the next one anew, and answers
// with [Results]. What a check finds wrong comes with the engine's diagnosis: this
// package compares, and holds no judgement of its own about causes.
package check
