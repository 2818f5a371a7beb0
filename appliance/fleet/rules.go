package fleet

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/rule"
	"griddle/appliance/setting"
)

// ErrChanged is returned where something was changed by someone else in the meantime.
var ErrChanged = errors.New("it was changed in the meantime")

// Rules are the rules of the site.
type Rules struct {
	rule.Document
	Tag     string    // another one after each change of what they say
	Changed time.Time // zero before the first rules
}

// Rules returns the rules of the site, which may be none.
func (f *Fleet) Rules() Rules { return *f.rules.Load() }

// SetRules replaces the rules of the site by d, which must be valid. With a tag it returns ErrChanged if the rules have
// another one by now. Jobs that a rule made before stay as they are.
func (f *Fleet) SetRules(ctx context.Context, d rule.Document, tag string) (r Rules, err error) {
	if all := d.Check(); len(all) > 0 {
		return r, fmt.Errorf("%w rules: %w", ErrInvalid, all)
	}
	data, now := encode(d), f.o.Now()
	if len(data) > rule.MaxDocument {
		return r, fmt.Errorf("%w rules: they have %d bytes, and the limit is %d", ErrInvalid, len(data),
			rule.MaxDocument)
	}
	f.ruling.Lock() // of two calls the later one's rules act, as in the file
	defer f.ruling.Unlock()
	if have := f.Rules(); tag != "" && tag != have.Tag {
		return r, fmt.Errorf("the rules of the site: %w; read them again", ErrChanged)
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO rules (id, changed, data) VALUES (1, ?, ?) ON CONFLICT (id) DO "+
			"UPDATE SET changed = excluded.changed, data = excluded.data", now.UnixNano(), data)
		return err
	})
	if err != nil {
		return r, fmt.Errorf("storing the rules: %w", err)
	}
	r = rulesOf(d, data, now.UnixNano())
	f.rules.Store(&r)
	return r, nil
}

// loadRules reads the rules that the file has.
func (f *Fleet) loadRules(ctx context.Context) error {
	var changed int64
	var data string
	err := f.db.QueryRowContext(ctx, "SELECT changed, data FROM rules WHERE id = 1").Scan(&changed, &data)
	if errors.Is(err, sql.ErrNoRows) {
		d := rule.Document{Version: rule.Version, Rules: []rule.Rule{}}
		r := rulesOf(d, encode(d), 0)
		f.rules.Store(&r)
		return nil
	}
	if err != nil {
		return err
	}
	d, err := rule.Decode([]byte(data))
	if err != nil {
		return err
	}
	r := rulesOf(d, data, changed)
	f.rules.Store(&r)
	return nil
}

func rulesOf(d rule.Document, data string, changed int64) Rules {
	sum := sha256.Sum256([]byte(data))
	r := Rules{Document: d, Tag: hex.EncodeToString(sum[:16])}
	if changed != 0 {
		r.Changed = time.Unix(0, changed).UTC()
	}
	return r
}

// Ruled is what a job has of the rule that made it.
type Ruled struct {
	Name string `json:"name"`
	ID   string `json:"id"` // rule.Rule.ID
	// Proved says that the rule is for machines that prove themselves: only boots with an approved key get the job.
	Proved bool `json:"proved,omitempty"`
	// Settings is rule.Install.Settings.
	Settings json.RawMessage `json:"settings,omitempty"`
}

// obeyed is what a rule did to a machine.
type obeyed struct {
	job     string // the job that it made
	stopped string // why it made none
	booted  int64  // when the machine first booted what the rule says, in Unix nanoseconds
}

// obeyedBy returns what the rule with an ID did to a machine; the zero value for nothing.
func obeyedBy(ctx context.Context, tx *sql.Tx, machine, id string) (o obeyed, err error) {
	err = tx.QueryRowContext(ctx, "SELECT job, stopped, booted FROM ruled WHERE machine = ? AND rule = ?", machine,
		id).Scan(&o.job, &o.stopped, &o.booted)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return o, err
}

// maxRuled is how many rules are kept that did something to one machine. If an operator takes a rule back that was
// changed more often, it may make a job again.
const maxRuled = 64

// saveObeyed writes down what the rule with an ID did to a machine.
func (f *Fleet) saveObeyed(ctx context.Context, tx *sql.Tx, machine, id string, o obeyed) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO ruled (machine, rule, job, stopped, booted, changed) VALUES (?, ?, "+
		"?, ?, "+
		"?, ?) ON CONFLICT (machine, rule) DO UPDATE SET job = excluded.job, stopped = excluded.stopped, booted = "+
		"excluded.booted, changed = excluded.changed", machine, id, o.job, o.stopped, o.booted, f.o.Now().UnixNano())
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM ruled WHERE machine = $1 AND rule NOT IN (SELECT rule FROM ruled WHERE "+
		"machine = $1 ORDER BY changed DESC, rule LIMIT $2)", machine, maxRuled)
	return err
}

// installable says whether a rule may install something on a machine: it is not retired, has no system that is known,
// and no job waits or runs. A job that a screen chose does not count if its boot is silent: a stranger may have chosen
// it.
func (f *Fleet) installable(ctx context.Context, tx *sql.Tx, m Machine, jobs []Job) (bool, error) {
	if s := lastDone(jobs); m.Retired != nil || m.Deployed != nil || m.Service != nil || s != nil && !s.Erased {
		return false, nil
	}
	for _, j := range jobs {
		if !j.Live() {
			continue
		}
		if j.Origin != Screen {
			return false, nil
		}
		if heard, err := heardSince(ctx, tx, j.Boot, f.o.Now().Add(-silence).UnixNano()); heard || err != nil {
			return false, err
		}
	}
	return true, nil
}

// given says that a rule made the job, or an operator ordered it: it waits for its machine, and decides what that
// boots.
func (j Job) given() bool { return j.Origin == Operator || j.Origin == ByRule }

// mustProve says that only boots with an approved key get the job.
func (j Job) mustProve() bool { return j.Origin == ByRule && j.Rule != nil && j.Rule.Proved }

// claimsOf is what a machine says of itself.
func claimsOf(id job.Identity, v job.Inventory) *rule.Claims {
	return &rule.Claims{Vendor: id.Vendor, Model: id.Product, Memory: v.Memory, Disks: v.Disks}
}

// RuleSettings are the settings of the rule that made the job; empty for none.
func (j Job) RuleSettings() (setting.Document, error) {
	if j.Rule == nil {
		return setting.Document{}, nil
	}
	from := "rule " + j.Rule.Name
	if j.Rule.Settings == nil {
		return setting.Document{From: from}, nil
	}
	return setting.Decode(from, j.Rule.Settings)
}

// installedSettings are the settings of the rule that made the last install of a machine that was done.
func installedSettings(ctx context.Context, tx *sql.Tx, machine string) (setting.Document, error) {
	jobs, err := jobsOf(ctx, tx, machine)
	if err != nil {
		return setting.Document{}, err
	}
	for _, j := range jobs {
		if j.Spec.Kind == job.Install && j.State == job.Done {
			return j.RuleSettings()
		}
	}
	return setting.Document{}, nil
}
