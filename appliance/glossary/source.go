package glossary

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"unicode/utf8"
)

// A Text is what a person reads in one go: a document, a comment or a string.
type Text struct {
	Body []byte
	at   []int // for each byte of Body its place in the file; nil if they are the same
}

// At returns the place in the file, in bytes, of the byte i of Body.
func (t Text) At(i int) int {
	if t.at == nil {
		return i
	}
	return t.at[i]
}

// Plain is a file that is text from its first byte to its last.
func Plain(content []byte) Text { return Text{Body: content} }

// Source returns the texts of a Go file that users and importers meet: every string, the package doc, and the
// comments on exported names, their fields and methods. Strings joined by + are one text. It fails if the file does
// not parse.
func Source(name string, src []byte) ([]Text, error) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	r := reader{src: src, base: files.File(f.FileStart)}
	r.comment(f.Doc)
	for _, d := range f.Decls {
		r.declaration(d)
	}
	ast.Inspect(f, r.expression)
	return r.texts, nil
}

type reader struct {
	src   []byte
	base  *token.File
	texts []Text
}

func (r *reader) declaration(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() {
			r.comment(d.Doc)
		}
	case *ast.GenDecl:
		exported := false
		for _, s := range d.Specs {
			exported = r.spec(s) || exported
		}
		if exported {
			r.comment(d.Doc)
		}
	}
}

// spec reads the comments of a type, variable or constant if it is exported, and reports whether it is.
func (r *reader) spec(s ast.Spec) bool {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() {
				r.comment(s.Doc)
				r.comment(s.Comment)
				return true
			}
		}
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			r.comment(s.Doc)
			r.comment(s.Comment)
			ast.Inspect(s.Type, r.field)
			return true
		}
	}
	return false
}

func (r *reader) field(n ast.Node) bool {
	if f, ok := n.(*ast.Field); ok {
		for _, name := range f.Names {
			if name.IsExported() {
				r.comment(f.Doc)
				r.comment(f.Comment)
				break
			}
		}
	}
	return true
}

// comment reads a comment with blanks for its slashes and stars, so that a phrase may go over the end of a line.
func (r *reader) comment(c *ast.CommentGroup) {
	if c == nil {
		return
	}
	from, to := r.base.Offset(c.Pos()), r.base.Offset(c.End())
	t := Text{}
	for i := from; i < to; i++ {
		b := r.src[i]
		if b == '/' || b == '*' {
			b = ' '
		}
		t.Body, t.at = append(t.Body, b), append(t.at, i)
	}
	r.texts = append(r.texts, t)
}

// expression reads strings, and sums of them as one.
func (r *reader) expression(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec:
		return false
	case *ast.BasicLit:
		if n.Kind == token.STRING {
			r.texts = append(r.texts, r.literal(Text{}, n))
		}
	case *ast.BinaryExpr:
		if n.Op == token.ADD {
			if t := r.sum(Text{}, n); len(t.Body) > 0 {
				r.texts = append(r.texts, t)
			}
			return false
		}
	}
	return true
}

// sum appends the strings of a sum to t, and a zero byte for what is not a string.
func (r *reader) sum(t Text, n ast.Expr) Text {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op == token.ADD {
			return r.sum(r.sum(t, n.X), n.Y)
		}
	case *ast.ParenExpr:
		return r.sum(t, n.X)
	case *ast.BasicLit:
		if n.Kind == token.STRING {
			return r.literal(t, n)
		}
	}
	ast.Inspect(n, r.expression)
	return Text{Body: append(t.Body, 0), at: append(t.at, r.base.Offset(n.Pos()))}
}

// literal appends the value of a string to t, each byte with its place in the source.
func (r *reader) literal(t Text, n *ast.BasicLit) Text {
	at, rest := r.base.Offset(n.Pos())+1, n.Value[1:len(n.Value)-1]
	for raw := n.Value[0] == '`'; rest != ""; {
		b, tail := []byte{rest[0]}, rest[1:]
		if !raw {
			char, multibyte, after, err := strconv.UnquoteChar(rest, '"')
			if err != nil {
				break // the parser has accepted it, so this cannot be
			}
			if tail = after; multibyte {
				b = utf8.AppendRune(nil, char)
			} else {
				b = []byte{byte(char)}
			}
		}
		for _, c := range b {
			t.Body, t.at = append(t.Body, c), append(t.at, at)
		}
		at += len(rest) - len(tail)
		rest = tail
	}
	return t
}
