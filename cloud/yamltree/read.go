package yamltree

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Reader collects the faults of a file while its parts are read.
type Reader struct {
	Places map[string]Place    // of the values that were read, by their path; nil: not recorded
	Shapes map[string][]string // the keys of each shape of mapping that Object read; nil: not recorded

	file   string
	faults Faults
}

// NewReader returns a Reader for a file; file is what faults call it, and may be empty.
func NewReader(file string) *Reader { return &Reader{file: file} }

// Wrong adds a fault. path and hint may be empty.
func (r *Reader) Wrong(at Place, path, hint, format string, args ...any) {
	r.faults = append(r.faults, Fault{at, path, fmt.Sprintf(format, args...), hint})
}

// Faults returns all faults so far, by place.
func (r *Reader) Faults() Faults { return r.faults.Sorted() }

// Read reads the file's one document. It is nil where a fault leaves nothing to look at, and a Null at the first line
// where the file is empty.
func (r *Reader) Read(b []byte, o Options) *Node {
	top := Place{r.file, 1, 1}
	if len(b) > o.bytes() {
		r.Wrong(top, "", "", "the file has %d bytes, %d are allowed", len(b), o.bytes())
		return nil
	}
	if at, ok := undecodable(r.file, b); !ok {
		r.Wrong(at, "", "save it as UTF-8 without control characters", "this is not text")
		return nil
	}
	file := r.syntax(string(b), o.depth())
	if file == nil {
		return nil
	}
	body, ok := r.document(file)
	if !ok {
		return nil
	}
	if body == nil {
		return &Node{At: top, weight: 1}
	}
	t := tree{Reader: r, options: o, anchors: map[string]*Node{}}
	n := t.node(body, "", 0)
	if t.weight > MaxValues {
		r.Wrong(top, "", "", "the file has more than %d values", MaxValues)
		return nil
	}
	return n
}

// document finds the one document of a file, nil where it is empty.
func (r *Reader) document(file *ast.File) (body ast.Node, ok bool) {
	for _, d := range file.Docs {
		switch {
		case d.Body == nil || d.Body.Type() == ast.CommentType || d.Body.Type() == ast.NullType:
		case d.Body.Type() == ast.DirectiveType:
			r.Wrong(r.place(d.Body), "", "leave it out", "directives such as %%YAML are not allowed")
			return nil, false
		case body != nil:
			r.Wrong(r.place(d.Body), "", "write one document per file", "there is a second document")
		default:
			body = d.Body
		}
	}
	return body, true
}

// syntax parses within bounds. The library stops at the first fault of syntax, and must not stop the program.
func (r *Reader) syntax(s string, depth int) (file *ast.File) {
	last := Place{r.file, 1, 1}
	defer func() {
		if recover() != nil {
			r.Wrong(last, "", "", "this is not YAML")
			file = nil
		}
	}()
	tokens := lexer.Tokenize(s)
	if at, text := unbounded(r.file, tokens, depth); text != "" {
		r.Wrong(at, "", "", "%s", text)
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		text := "it cannot be parsed" // Error would draw a picture of the place, with the tokens around it
		var e interface {
			GetMessage() string
			GetToken() *token.Token
		}
		if errors.As(err, &e) {
			text = e.GetMessage()
			if t := e.GetToken(); t != nil && t.Position != nil {
				last.Line, last.Column = max(1, t.Position.Line), max(1, t.Position.Column)
			}
		}
		r.Wrong(last, "", "", "this is not YAML: %s", text)
		return nil
	}
	return file
}

// place is where a node begins.
func (r *Reader) place(a ast.Node) Place {
	switch n := a.(type) {
	case nil:
		return Place{r.file, 1, 1}
	case *ast.MappingValueNode:
		return r.place(n.Key)
	case *ast.MappingNode:
		// The token of a mapping in block style is its first colon.
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return r.place(n.Values[0].Key)
		}
	}
	t := a.GetToken()
	if t == nil || t.Position == nil {
		return Place{r.file, 1, 1}
	}
	return Place{r.file, max(1, t.Position.Line), max(1, t.Position.Column)}
}
