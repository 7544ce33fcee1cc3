// Package plan is about ports that are declared before anything listens on
// them. It finds what will clash, asks the host at hand about the rest, and says
// what became of each declared connection.
//
// A [Claim] is a port that a file says a service will listen on: a plan's, a
// compose file's, a unit's. Two claims conflict if they are for one host of one
// environment and the kernel would give the second bind EADDRINUSE ([Conflicts]).
//
// # The file of a plan
//
//	schema: portwhy.plan/v1
//	environments:                  # names alone, [dev, prod]; or none: one environment
//	  dev:                         # without hosts, everything is on one
//	  prod:
//	    hosts:
//	      edge: {addresses: [192.0.2.1, 10.0.0.1], firewall: edge.nft}
//	      data: {addresses: 10.0.0.2}
//	policy:                        # for plan next
//	  ranges: [8000-8999]
//	  reserved: [8080]
//	services:
//	  web:
//	    owner: shop team
//	    about: the pages
//	    runs: nginx.service        # the process, unit or container that it is
//	    on: {prod: edge}           # needed where an environment has several hosts
//	    ports:
//	      http: {port: {dev: 8081, prod: 80}, exposure: any, speaks: http}
//	      admin: {port: 9000, bind: 127.0.0.1, exposure: loopback}
//	  db:
//	    on: {prod: data}
//	    ports:
//	      sql: 5432
//	connections:
//	  - {from: web, to: db.sql}
//	  - {from: 198.51.100.7, to: web.admin, environments: prod, expect: blocked}
//
// A value that differs by environment is a mapping; a port that names only some
// environments is closed in the others. bind is the wildcard of both families
// unless it is told. exposure is loopback, host (its containers too), lan or any.
// from is a service, an address, or a list of them. Unknown keys, anchors and
// keys that stand twice are errors with file, line and column.
//
// # What it can't know
//
// The host at hand is only asked about what is meant for it: by its addresses, or
// as the user says. Of a connection between two other hosts nothing is said, and
// of one that comes from elsewhere the way in is predicted, not tried. A port
// that somebody has is a warning rather than an error while the plan doesn't say
// what the service runs as, for it may be the service itself.
package plan
