package xt

var (
	matches = table(transportMatches, conntrackMatches, markMatches, originMatches, rateMatches, setMatches)
	targets = table(markTargets, natTargets, verdictTargets)
)
