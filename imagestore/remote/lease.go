package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
)

// LeasesPath is the path for leases, below a server's base URL.
const LeasesPath = "/v1/leases"

func (h server) lease(w http.ResponseWriter, r *http.Request) {
	var req catalog.LeaseRequest
	if !h.decodeBody(w, r, &req) {
		return
	}
	held, err := h.admit(r, Leases, 0)
	if err != nil {
		refuse(w, err)
		return
	}
	defer held.Release()
	client, known := h.client(r)
	req.By = catalog.LeaseHolder{Client: client, Stranger: !known}
	l, err := h.s.Lease(r.Context(), req)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, l)
}

func (h server) release(w http.ResponseWriter, r *http.Request) {
	if err := h.s.Release(r.Context(), r.PathValue("id")); err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

// Lease asks the server to give or renew a lease.
func (c *remoteCatalog) Lease(ctx context.Context, r catalog.LeaseRequest) (catalog.Lease, error) {
	b, err := document.MarshalLine(r)
	if err != nil {
		return catalog.Lease{}, err
	}
	resp, err := c.do(ctx, http.MethodPost, LeasesPath, bytes.NewReader(b))
	if err != nil {
		return catalog.Lease{}, err
	}
	defer resp.Body.Close()
	var out catalog.Lease
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4096)).Decode(&out); err != nil {
		return catalog.Lease{}, fmt.Errorf("reading the answer: %w", err)
	}
	return out, nil
}

// Release asks the server to end a lease.
func (c *remoteCatalog) Release(ctx context.Context, id string) error {
	resp, err := c.do(ctx, http.MethodDelete, LeasesPath+"/"+id, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
