package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// matched is keyed for a call that changes nothing if another one did so before.
type matched[T any] struct {
	Key     string `path:"key" doc:"a name, a MAC address or a UUID"`
	IfMatch string `header:"If-Match" doc:"the ETag that the change begins from; 412 if it is another one now"`
	sent[T]
}

type clearSettings struct {
	Key     string `path:"key" doc:"a name, a MAC address or a UUID"`
	IfMatch string `header:"If-Match" doc:"the ETag that the change begins from; 412 if it is another one now"`
}

// tagOf is the ETag of a machine's own settings (RFC 9110 section 8.8.3). It tells when they were changed, and nothing
// of what they are: a hash of them would let others try secrets.
func tagOf(d fleet.Declared) string {
	if d.Changed.IsZero() {
		return `"none"`
	}
	return `"` + strconv.FormatInt(d.Changed.UnixNano(), 36) + `"`
}

// unchanged refuses a change of the settings of d if ifMatch has not their tag (RFC 9110 section 13.1.1).
func unchanged(d fleet.Declared, ifMatch string) error {
	if ifMatch == "" || ifMatch == "*" && !d.Changed.IsZero() {
		return nil
	}
	for tag := range strings.SplitSeq(ifMatch, ",") {
		if strings.TrimSpace(tag) == tagOf(d) {
			return nil
		}
	}
	return job.NewProblem(http.StatusPreconditionFailed, fmt.Sprintf("the settings of %s are no longer those that "+
		"this change begins from: read them again", d.Machine.Name))
}

// tagged says that an operation answers with an ETag.
func tagged(op huma.Operation) huma.Operation {
	op.Responses = map[string]*huma.Response{strconv.Itoa(http.StatusOK): {Headers: map[string]*huma.Param{
		"ETag": {Description: "of the machine's own settings, for If-Match",
			Schema: &huma.Schema{Type: huma.TypeString}}}}}
	return op
}
