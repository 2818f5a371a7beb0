package api

import (
	"errors"
	"net/http"
	"strconv"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/quota"
)

// What records of jobs that are being read and answered hold at most; a client is a machine. A record that is taken
// counts three times, because its body grows by doubling and SQLite has a copy of it.
var recordQuota = quota.Options{
	What:    "records of jobs",
	Total:   quota.Amount{Slots: 64, Bytes: 128 << 20},
	Each:    quota.Amount{Slots: 2, Bytes: 32 << 20},
	Reserve: quota.Amount{Slots: 32, Bytes: 64 << 20},
}

const (
	largestRecord = 3 * (job.MaxRecord + 1)
	// bytes of a page of records; a larger record has a page of its own
	recordPage = 4 << 20
)

// record keeps a record of the job that a boot carries out.
func (h *Handler) record(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	id := r.PathValue("id")
	_, m, err := h.o.Fleet.Planning(r.Context(), by, id) // before the body is read
	if err != nil {
		return err
	}
	hold, err := h.records.Take(m.ID, m.Rank == fleet.Ordered, 0)
	if err != nil {
		return err
	}
	defer hold.Release()
	b, err := body(w, r, hold, job.MaxRecord)
	if err != nil {
		return err
	}
	if err := hold.Grow(int64(len(b))); err != nil {
		return err
	}
	err = h.o.Fleet.Record(r.Context(), by, id, b)
	if errors.Is(err, fleet.ErrBusy) { // it ends within a minute, and the machine must not give the job up for it
		w.Header().Set("Retry-After", "5")
		return job.NewProblem(http.StatusServiceUnavailable, err.Error())
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// giveRecords gives a page of the records of a job, as they were taken: json.Marshal would change their bytes.
func (h *Handler) giveRecords(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	after, err := number(r, "after")
	if err != nil {
		return err
	}
	who, err := h.o.Fleet.Session(r.Context(), by)
	if err != nil {
		return err
	}
	hold, err := h.records.Take(who.Machine, who.Ordered, largestRecord)
	if err != nil {
		return err
	}
	defer hold.Release()
	page, err := h.o.Fleet.Records(r.Context(), by, r.PathValue("id"), int(min(after, job.MaxRecords)), recordPage)
	if err != nil {
		return err
	}
	out := []byte(`{"records":[`)
	for i, one := range page.All {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, one...)
	}
	out = append(append(out, `],"next":`...), strconv.Itoa(page.Next)+"}"...)
	send(w, http.StatusOK, "application/json", out)
	return nil
}

// number reads a whole number of the query, 0 where it is not there.
func number(r *http.Request, name string) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, job.NewProblem(http.StatusBadRequest, name+" must be a whole number")
	}
	return n, nil
}
