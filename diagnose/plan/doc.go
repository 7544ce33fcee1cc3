// Package plan is about ports that are declared before anything listens on
// them: by a plan, by a compose file, by a unit. It finds what will clash.
package plan
