package job

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// RecordsPath and the ID of a job are where the records of the job are. POST one record -> 204; GET, with after=N for
// those behind the first N -> RecordPage. Both take the bearer token of the Welcome.
const RecordsPath = "/v1/agent/records/"

// Limits of the records of a job. The server refuses what is beyond; the client does not send a record that is too
// large.
const (
	MaxRecord      = 8<<20 - 1 // bytes of one
	MaxRecords     = 10000
	MaxRecordBytes = 64 << 20 // bytes of all
)

// RecordPage is a part of the records of a job, in the order in which they were added. Next is what to ask for next, 0
// if these are the last.
type RecordPage struct {
	Records []json.RawMessage `json:"records"`
	Next    int               `json:"next"`
}

// recordPage is what the JSON of a RecordPage may have beside a record, in bytes.
const recordPage = MaxReply + 1024

// CheckRecord says what is wrong with a record: it is a JSON object of at most MaxRecord bytes.
func CheckRecord(record []byte) error {
	switch {
	case len(record) > MaxRecord:
		return fmt.Errorf("the record has %d bytes, and the limit is %d", len(record), MaxRecord)
	case !bytes.HasPrefix(bytes.TrimLeft(record, " \t\r\n"), []byte{'{'}) || !json.Valid(record):
		return errors.New("the record is not a JSON object")
	}
	return nil
}

// Record adds a record to those of a job that this boot carries out: what it is about to do to a disk and what is done,
// so that a later boot can complete it after a crash. When it returns nil, the record is durable on the server. A
// record that equals the last one is kept once: a caller may repeat a call whose answer was lost.
func (c *Client) Record(ctx context.Context, job string, record json.RawMessage) error {
	err := CheckRecord(record)
	if err == nil {
		err = c.do(ctx, http.MethodPost, c.base+RecordsPath+url.PathEscape(job), c.token, record, nil)
	}
	if err != nil {
		return fmt.Errorf("keeping a record of the job on the server: %w", err)
	}
	return nil
}

// Records returns all records of a job of this machine, in the order in which they were added, byte for byte. The boot
// must have a job, this one or a later one. Each request gets a part of them.
func (c *Client) Records(ctx context.Context, job string) (all []json.RawMessage, err error) {
	for after := 0; ; {
		var page RecordPage
		err := c.fetch(ctx, http.MethodGet, fmt.Sprintf("%s%s%s?after=%d", c.base, RecordsPath, url.PathEscape(job),
			after), c.token, nil, &page, recordPage)
		switch next := after + len(page.Records); {
		case err != nil:
			return nil, fmt.Errorf("reading the records of the job from the server: %w", err)
		case page.Next != 0 && (page.Next != next || next == after) || next > MaxRecords:
			return nil, fmt.Errorf("reading the records of the job from the server: it gave %d after %d, and "+
				"continues at %d", len(page.Records), after, page.Next)
		}
		all = append(all, page.Records...)
		if page.Next == 0 {
			return all, nil
		}
		after = page.Next
	}
}
