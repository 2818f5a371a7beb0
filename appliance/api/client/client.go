// Package client has a method for each call of operators that docs/openapi.yaml describes, made from that file: its
// method, path and parameters. Make a Client with what sends a Request; api.Client does, and knows the types of bodies.
//
// calls.go is made by oapi-codegen, whose module is in generator, with the template there:
//
//	go generate ./appliance/api/client
package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

//go:generate go -C generator tool oapi-codegen -config config.yaml -o ../calls.go ../../../../docs/openapi.yaml

// Request is one call.
type Request struct {
	Method string
	Path   string            // with its query, escaped
	Header map[string]string // without empty ones
	Body   any               // what becomes JSON; nil for none
}

// Client has the calls. Send sends a request and reads its answer into out, nil where there is none.
type Client struct {
	Send func(ctx context.Context, r Request, out any) error
}

// call completes a request. Its pattern has %s for each of the segments, which must not lead to another path.
func (c Client) call(ctx context.Context, r Request, pattern string, segments, query []any, out any) error {
	escaped := make([]any, len(segments))
	for i, s := range segments {
		text := s.(string)
		if text == "" || text == "." || text == ".." {
			return errors.New("a name in the path of a call is empty or consists of dots")
		}
		escaped[i] = url.PathEscape(text)
	}
	r.Path = fmt.Sprintf(pattern, escaped...)
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		if text := fmt.Sprint(query[i+1]); text != "" && text != "0" && text != "false" {
			values.Set(query[i].(string), text)
		}
	}
	if len(values) > 0 {
		r.Path += "?" + values.Encode()
	}
	for name, value := range r.Header {
		if value == "" {
			delete(r.Header, name)
		} else if strings.ContainsAny(value, "\r\n") {
			return fmt.Errorf("the header %s has more than one line", name)
		}
	}
	return c.Send(ctx, r, out)
}
