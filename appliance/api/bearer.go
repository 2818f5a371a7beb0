package api

import (
	"net/http"

	"griddle/appliance/fleet"
)

// Bearer is the token of the request's Authorization header, "" for none (RFC 6750 section 2.1).
func Bearer(r *http.Request) string { return bearer(r) }

// Proof is what the request shows of the boot that sends it: Bearer, and the key that its connection proved.
func Proof(r *http.Request) fleet.Proof { return proofOf(r) }
