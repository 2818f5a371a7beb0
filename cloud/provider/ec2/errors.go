package ec2

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"griddle/cloud/provider"
)

// errLate says that what was waited for did not come.
var errLate = fmt.Errorf("EC2 does not show it yet: %w", provider.ErrTemporary)

// errNoRegion says that nothing names a region.
var errNoRegion = errors.New("no region is set")

// errEmpty says that an answer lacks what was made: it is looked for next time.
var errEmpty = fmt.Errorf("EC2's answer is empty: %w", provider.ErrTemporary)

type ebsNotFound = ebstypes.ResourceNotFoundException

// chain is the SDK's chain of credentials, whose failures can be told from others.
type chain struct{ aws.CredentialsProvider }

// Retrieve implements aws.CredentialsProvider.
func (c chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	v, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = &noCredentials{err}
	}
	return v, err
}

type noCredentials struct{ err error }

func (e *noCredentials) Error() string { return "finding credentials: " + clip(e.err.Error()) }

// Unwrap returns ErrCredentials alone: what the chain's links said is not to be mistaken for EC2's answers.
func (e *noCredentials) Unwrap() error { return provider.ErrCredentials }

// code is the error code in EC2's answer; empty for other errors.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// explain says what was done when err came, and wraps what the caller can do about it.
func (p *Provider) explain(ctx context.Context, what string, err error) error {
	if e := ctx.Err(); e != nil {
		return fmt.Errorf("%s: %w", what, e)
	}
	var missing *noCredentials
	if errors.As(err, &missing) {
		return fmt.Errorf("%s: %w: %w", what, missing, provider.ErrCredentials)
	}
	for _, known := range []error{provider.ErrTemporary, provider.ErrNotFound, provider.ErrTaken, provider.ErrInvalid,
		provider.ErrQuota, provider.ErrCredentials, provider.ErrUnsupported} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	var op *smithy.OperationError
	if !errors.As(err, &op) {
		return fmt.Errorf("%s: %w", what, err)
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return fmt.Errorf("%s: %s: %w", what, op.OperationName, certificate)
	}
	if provider.Unreachable(err) {
		return fmt.Errorf("%s: EC2 in region %s%s: %w: %s: %w", what, p.region, p.at(err), provider.ErrUnreachable,
			clip(innermost(err)), provider.ErrTemporary)
	}
	status, after := answer(err)
	var e smithy.APIError
	if !errors.As(err, &e) {
		// Nothing that can be read was answered: refused connections, timeouts, torn answers.
		if status >= 400 && status < 500 && status != http.StatusTooManyRequests {
			return fmt.Errorf("%s: %s answered %d: %s", what, op.OperationName, status, clip(op.Err.Error()))
		}
		return temporary(fmt.Errorf("%s: %s: %s", what, op.OperationName, clip(op.Err.Error())), after)
	}
	cause := fmt.Errorf("%s: %s: %s: %s", what, op.OperationName, e.ErrorCode(), clip(e.ErrorMessage()))
	switch class := classify(e.ErrorCode(), status); class {
	case nil:
		return cause
	case provider.ErrTemporary:
		return temporary(cause, after)
	default:
		return fmt.Errorf("%w: %w", cause, class)
	}
}

// at is the endpoint that a request was for.
func (p *Provider) at(err error) string {
	var u *url.Error
	if !errors.As(err, &u) {
		return ""
	}
	parsed, err := url.Parse(u.URL)
	if err != nil {
		return ""
	}
	return " at " + parsed.Scheme + "://" + parsed.Host
}

// innermost is what the network said, without the request that the SDK and net/http put before it.
func innermost(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

// notAgain has the SDK not repeat what found no connection: who calls decides, and says so.
func notAgain(err error) aws.Ternary {
	if provider.Unreachable(err) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

func temporary(cause error, after time.Duration) error {
	if after > 0 {
		return &provider.Retry{After: after, Err: cause}
	}
	return fmt.Errorf("%w: %w", cause, provider.ErrTemporary)
}

// answer is the status of the answer, 0 for none, and the Retry-After in it.
func answer(err error) (status int, after time.Duration) {
	var r *smithyhttp.ResponseError
	if !errors.As(err, &r) || r.Response == nil {
		return 0, 0
	}
	if s, err := strconv.Atoi(r.Response.Header.Get("Retry-After")); err == nil && s > 0 {
		after = min(time.Duration(min(s, 3600))*time.Second, 5*time.Minute)
	}
	return r.HTTPStatusCode(), after
}

// classify says what a caller can do about an error code ("Error codes for the Amazon EC2 API"; EBS direct, Common
// Errors); nil for nothing.
func classify(code string, status int) error {
	switch code {
	case "AuthFailure", "UnauthorizedOperation", "ExpiredToken", "ExpiredTokenException", "RequestExpired",
		"InvalidClientTokenId",
		"MissingAuthenticationToken", "SignatureDoesNotMatch", "UnrecognizedClientException", "AccessDenied",
		"AccessDeniedException",
		"OptInRequired", "Blocked", "PendingVerification", "IncompleteSignature",
		"InvalidSignatureException", "NotAuthorized":
		return provider.ErrCredentials
	case "RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "RequestThrottledException",
		"EC2ThrottledException",
		"Unavailable", "ServiceUnavailable", "InternalError", "InternalFailure",
		"InternalServerException", "RequestTimeout", "IncorrectState", "IncorrectInstanceState",
		"IncorrectModificationState", "InvalidInstanceID.NotLinkable", "InvalidInstanceID", "DependencyViolation",
		"VolumeInUse", "InvalidIPAddress.InUse", "InvalidSnapshot.InUse",
		"Resource.AlreadyAssociated",
		"VolumeModificationRateExceeded", "InvalidAMIID.Unavailable", "ConcurrentTagAccess",
		"SnapshotCreationPerVolumeRateExceeded":
		return provider.ErrTemporary
	case "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientCapacity",
		"InsufficientVolumeCapacity",
		"InsufficientAddressCapacity", "InsufficientFreeAddressesInSubnet",
		"ServiceQuotaExceededException", "TooManyTags":
		return provider.ErrQuota
	case "ResourceNotFoundException":
		return provider.ErrNotFound
	case "MissingParameter", "ValidationError", "ValidationException", "Unsupported", "UnsupportedOperation",
		"OperationNotPermitted",
		"UnknownParameter", "ConflictException", "IdempotentParameterMismatch":
		return provider.ErrInvalid
	}
	switch {
	case strings.HasSuffix(code, "LimitExceeded"):
		return provider.ErrQuota
	case strings.HasSuffix(code, ".NotFound"), strings.HasSuffix(code, "NotFoundException"):
		return provider.ErrNotFound
	case strings.HasSuffix(code, ".Duplicate"), strings.HasSuffix(code, ".Conflict"):
		return provider.ErrTaken
	case status >= 500, status == http.StatusTooManyRequests:
		return provider.ErrTemporary
	case strings.HasPrefix(code, "Invalid"), strings.HasPrefix(code, "Malformed"):
		return provider.ErrInvalid
	}
	return nil
}

// clip shortens the provider's words: an encoded authorization failure has thousands of them.
func clip(s string) string {
	const most = 300
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
