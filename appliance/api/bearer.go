package api

import "net/http"

// Bearer is the token of the request's Authorization header, "" for none (RFC 6750 section 2.1).
func Bearer(r *http.Request) string { return bearer(r) }
