// Package oracle holds rules/eval against the kernel: random rules are loaded
// into a network namespace of their own, random packets are sent through it, and
// what the kernel did with each (the path through the rules and what came out)
// is compared with what the evaluator says of the rules as they were read back.
// It is a test: `make oracle`.
package oracle
