// Package render writes reports, tables and pages in the forms that people and
// programs read: text for a terminal, JSON, YAML, Markdown for a ticket, HTML
// for a browser or paper and a line for Nagios.
//
// It judges nothing. Every string of a report may come from outside (process
// names, command lines, hostnames, lines of configuration), so each renderer
// passes it through [Escape] or an escape of its own format before it prints it.
package render
