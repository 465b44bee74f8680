// Package store is the durable buffer as a contract: what it promises, in
// small interfaces and sentinel errors. It stores nothing itself; the rooms
// below it do: local (the default: a journal and an index in one directory)
// and memory (for tests and trials). The suite in storetest holds every
// implementation to this contract.
//
// A webhook enters with [Accepter.Accept], which claims the provider's ID and
// stores the event in one step. It leaves through [Queue]: leased to a worker,
// settled with the outcome. Everything else is an operator's: [Commander],
// [Reader].
package store

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// Store is everything that an implementation offers. Rooms ask for the small
// interface that they call. All methods are safe for concurrent use.
type Store interface {
	Accepter
	Queue
	Commander
	Reader
	Learner
	Keeper
	Importer
	// Stats tells where everything stands. It is cheap: no disk is read.
	Stats() Stats
	// SetLimits changes the limits at once. What the store already holds stays;
	// limits that an implementation has no use for are ignored.
	SetLimits(l Limits)
	io.Closer
}

// Accepter takes events in.
type Accepter interface {
	// Accept stores the event together with its claim, durably, before it
	// returns; or it finds that the claim is taken, which is a Receipt and not an
	// error. A claim that another call is just writing is waited for: the calls
	// then succeed or fail together. After an error nothing of the event is ever
	// delivered, and the same request may be accepted when it comes again.
	//
	// Errors: ErrFull, ErrBacklog, ErrTooLarge, ErrUnavailable, ErrClosed.
	// A cancelled context ends the waiting, not the writing: the event may then
	// have been stored.
	Accept(ctx context.Context, a Admission) (Receipt, error)
}

// Admission is what Accept is asked to store.
type Admission struct {
	// Event is stored as it is; the store sets its ID and Seq, and it must not be
	// changed afterwards.
	Event *event.Event
	// Claim is what makes a repeat a duplicate; nil for an event without a usable
	// provider ID, which is always stored.
	Claim *Claim
	// Owed lists every destination of the source. A source has at least one.
	Owed []Owed
	// Share is how many bytes of undelivered bodies the event's source may have;
	// 0 means half of Limits.MaxBacklog.
	Share int64
}

// ShareOf is how much of a backlog one source may use, share being its own
// setting, or 0.
func ShareOf(maxBacklog, share int64) int64 {
	if share > 0 {
		return share
	}
	return maxBacklog / 2
}

// Limits are what an operator may change while the store is open. Zero is the
// implementation's default.
type Limits struct {
	// Retention is how long the content of settled events is kept.
	Retention time.Duration
	// RetentionSize is how many bytes the store may take before the content of
	// settled events goes earlier, oldest first.
	RetentionSize int64
	// MaxBacklog bounds the bytes of undelivered bodies.
	MaxBacklog int64
	// MinFree is how many bytes of the file system stay free.
	MinFree int64
}

// Owed is one destination at the moment of acceptance.
type Owed struct {
	// Destination is the name of the `to`.
	Destination string
	// Filtered tells that the destination does not want this event.
	Filtered bool
	// Lease asks for the delivery to be leased to the caller at once, straight
	// from memory; the caller must Settle or Release it.
	Lease bool
	// Order is the hash of what the destination orders by; 0 for none. Deliveries
	// of one destination with the same Order go one at a time, as they were
	// accepted; one that comes again (revived, replayed or moved) goes behind all
	// others, and one that is pending and replayed keeps its place.
	Order uint64
}

// Claim reserves a provider's ID for a window.
type Claim struct {
	// Key names the provider's ID within its scope.
	Key [32]byte
	// Also are the keys that the same ID has with sources whose claims this one has
	// taken over. A claim that stands under one of them makes the event a repeat;
	// they are not claimed anew.
	Also [][32]byte
	// Digest is a short digest of the body, to notice a duplicate that differs.
	Digest uint64
	// Window is how long the claim lives, counted from acceptance; it lives on
	// while a delivery of its event is pending or dead.
	Window time.Duration
}

// Result is what became of an admission.
type Result uint8

// The results.
const (
	// Accepted means stored.
	Accepted Result = iota + 1
	// Filtered means stored, and no destination wants it.
	Filtered
	// Duplicate means the provider's ID was claimed before; nothing was stored.
	Duplicate
	// Revived means a duplicate whose dead deliveries are pending again, or whose
	// filtered ones are now wanted.
	Revived
	// Known means that an event with that event ID was imported before; nothing
	// was stored.
	Known
)

// String gives the word that the Webhook-Status header uses, and the import.
func (r Result) String() string {
	return [...]string{"", "accepted", "filtered", "duplicate", "revived", "known"}[r]
}

// Receipt answers an admission.
type Receipt struct {
	Result Result
	// ID is the stored event's: for a duplicate, the first one's.
	ID event.ID
	// Seq is its order of acceptance.
	Seq uint64
	// Differs tells that a duplicate came with another body.
	Differs bool
	// Leases holds the deliveries that were asked for with Owed.Lease.
	Leases []Lease
}

// Queue hands deliveries out and takes their outcomes.
type Queue interface {
	// Lease hands out deliveries that are due at now, oldest due first, at most
	// max of them and about maxBytes of bodies (but at least one), until the
	// lease's time is over. It also tells when the next one of that destination
	// becomes due; zero if none waits. Paused destinations get none.
	Lease(ctx context.Context, d event.Destination, r LeaseRequest) ([]Lease, time.Time, error)
	// Begin notes that the attempt starts, so that after a crash an event that
	// killed the process does not come first again. It does not wait for the disk.
	// ErrStale if the lease is no longer held; ErrPaused if the destination was
	// paused since it was given: Release it.
	Begin(l Lease) error
	// Extend gives the lease more time. ErrStale if it is no longer held.
	Extend(l Lease, until time.Time) error
	// Release gives the delivery back, due at once, as if nothing had happened.
	Release(l Lease) error
	// Settle records an attempt and what follows from it. It does not wait for
	// the disk: the outcome is durable at most a second later, and an outcome
	// that was not durable before a crash leads to one more attempt. Where
	// another delivery waits for this one's turn to end ([Owed.Order]), that one
	// is due only once the outcome is durable, and that is at once.
	// ErrStale if the lease is no longer held; then nothing is recorded.
	Settle(l Lease, s Settlement) error
	// Wake registers the one function that is told, from any goroutine and
	// without delay, that a destination may have something due sooner than Lease
	// said last. It must not block and must not call back.
	Wake(wake func(d event.Destination))
}

// LeaseRequest says how much a worker wants.
type LeaseRequest struct {
	Now      time.Time
	Until    time.Time
	Max      int
	MaxBytes int
	// Early also hands out what is due later, unless the backend itself asked for
	// that, and Skip passes one event over as long as another waits: for looking
	// whether a destination that is down has come back. Max is then 1.
	Early bool
	Skip  uint64
}

// Lease is the right to deliver one event to one destination, once.
type Lease struct {
	// Token fences: a settle with an old one is refused.
	Token       uint64
	Event       *event.Event
	Destination event.Destination
	// Attempt is the number that this attempt has, from 1.
	Attempt int
	// Spent and Excused are the delivery's.
	Spent   time.Duration
	Excused int
	// Replay tells that an operator sends it again.
	Replay bool
	// Fresh tells that no attempt was made yet since acceptance.
	Fresh bool
	// Unfinished counts attempts that began and never ended because the process died.
	Unfinished int
}

// Settlement is an attempt's outcome as the schedule has judged it.
type Settlement struct {
	// Attempt is kept in the event's history.
	Attempt event.Attempt
	// State is Delivered, Dead or Pending.
	State event.State
	// Next is when a pending delivery is due again.
	Next time.Time
	// Asked tells that the backend asked for Next itself.
	Asked bool
	// Spent is how much of the time for retries is used up when Next comes.
	Spent time.Duration
	// Excuse is added to the delivery's Excused: 1 for an attempt that spends
	// nothing, less than 0 for those of which it turned out that they do.
	Excuse int
}

// Action is what an operator does to a delivery.
type Action uint8

// The actions.
const (
	// Replay sends an event again, with a fresh retry budget.
	Replay Action = iota + 1
	// Discard gives an event up.
	Discard
	// Move hands a delivery to another destination.
	Move
	// Pause keeps a destination's deliveries; Event is zero.
	Pause
	// Resume ends a pause.
	Resume
)

// String gives the word for logs and the API.
func (a Action) String() string {
	return [...]string{"", "replay", "discard", "move", "pause", "resume"}[a]
}

// Command is an operator's action. It is durable before Command returns.
type Command struct {
	Action Action
	// Event is the event it is about.
	Event event.ID
	// Destination is the name of the `to`, or source and name as in shop/default;
	// empty for all that the action fits.
	Destination string
	// Target is the destination to pause or resume, or that Move hands to. A Replay
	// with a Target sends the event there, whether that destination owed it or not.
	Target event.Destination
	// Before, if set, spares deliveries that were settled then or later, and those
	// that wait already at a Replay's Target: a command that is repeated after a
	// crash does not do twice what it did once.
	Before time.Time
	// Introduce tells that Target is configured: pausing or resuming it is
	// possible although no event was ever accepted for it.
	Introduce bool
	// Who acts, for the record.
	Who string
}

// Means tells whether the command names that destination.
func (c Command) Means(d event.Destination) bool {
	return c.Destination == "" || c.Destination == d.Name || c.Destination == d.String()
}

// Done is what a command came to.
type Done struct {
	// Changed names the destinations whose delivery changed.
	Changed []string
	// Deferred names those that are in flight and follow as soon as their
	// attempt has ended.
	Deferred []string
}

// Commander carries out what operators want.
type Commander interface {
	// Command carries out one action.
	//
	// Errors: ErrUnknown (no such event or destination), ErrInFlight, ErrConflict,
	// ErrGone, ErrUnavailable, ErrClosed. With several destinations, an error only
	// if nothing changed.
	Command(ctx context.Context, c Command) (Done, error)
}

// Learner keeps the secrets that providers hand over at run time.
type Learner interface {
	// Learn keeps a source's secret, durably before it returns; an empty one
	// forgets what was known. who is for the record. At most MaxLearned bytes.
	//
	// Errors: ErrConflict (another one is known), ErrTooLarge, ErrUnavailable, ErrClosed.
	Learn(ctx context.Context, source, secret, who string) error
	// Learned gives a source's secret; empty if none is known.
	Learned(source string) string
}

// MaxLearned is the longest secret that a store keeps, in bytes.
const MaxLearned = 1024

// Keeper keeps small notes of the gateway's own.
type Keeper interface {
	// Keep stores a value under a name, durably before it returns; an empty one
	// removes it. At most MaxKept bytes each, and MaxNotes of them.
	//
	// Errors: ErrTooLarge, ErrConflict (too many), ErrUnavailable, ErrClosed.
	Keep(ctx context.Context, name string, value []byte) error
	// Kept gives a copy of all of them.
	Kept() map[string][]byte
}

// Bounds of a [Keeper]: bytes of a name and its value, and how many there are.
const (
	MaxKept  = 4096
	MaxNotes = 64
)

// Importer takes events in that another store has had.
type Importer interface {
	// Import stores an event as it stands: its event ID, its time of receipt, its
	// deliveries' states and its attempts. It is durable before Import returns.
	// What is pending is delivered; its order of acceptance is the order of import.
	// An event whose ID is known is left as it is, so that an import can be
	// repeated, but for past attempts that an import which broke off has left out;
	// and one whose claim another event has is not stored.
	//
	// Errors: those of [Accepter].
	Import(ctx context.Context, i Import) (Receipt, error)
}

// Import is what is asked for.
type Import struct {
	// Record is the event, with its ID. Its Seq is ignored; its Event is nil if its
	// body is gone, and must not be changed afterwards.
	Record Record
	// Claim is as in [Admission].
	Claim *Claim
	// Share is as in [Admission].
	Share int64
}

// Waits tells whether the event counts for the backlog.
func (i Import) Waits() bool {
	return slices.ContainsFunc(i.Record.Deliveries, func(d event.Delivery) bool { return d.State.Unsettled() })
}

// Missing gives the attempts of the i-th delivery that a store lacks of an event
// which it has imported before: now is the delivery as it stands there, have how
// many of its attempts are known. What was attempted since then ends it.
func (i Import) Missing(nth int, now event.Delivery, have int) []event.Attempt {
	was := i.Record.Deliveries[nth]
	if now.Attempts != was.Attempts {
		return nil
	}
	var all []event.Attempt
	for _, a := range i.Record.Attempts {
		if a.Of(&was) {
			all = append(all, a)
		}
	}
	return all[min(have, len(all)):]
}

// Reader shows what is stored. It may lag behind a write by a moment.
type Reader interface {
	// Get gives one event whole, with its attempts; ErrUnknown if there is none.
	Get(ctx context.Context, id event.ID) (Record, error)
	// Query lists events, newest first unless the filter says otherwise.
	Query(ctx context.Context, f Filter) (Page, error)
	// Await waits until an event can be read that was accepted after that sequence
	// number, and gives the latest such number: all up to it can be read then. It
	// ends early with the reason for which the context has ended, or with ErrClosed.
	Await(ctx context.Context, after uint64) (latest uint64, err error)
}

// Filter chooses events; every field that is set must match.
type Filter struct {
	// Source is the event's, or that of a destination which it was moved to.
	Source string
	// Destination and State are those of one delivery; with Source, it is one to
	// that source's destination.
	Destination string
	State       event.State
	Type        string
	// ID is the provider's, or our event ID.
	ID string
	// Since and Until bound the time of receipt: Since ≤ received < Until.
	Since, Until time.Time
	// Text must be contained in the provider's ID, our ID or the type.
	Text string
	// Content, if not nil, must be true of the event's content, which is then
	// read; an event whose body is gone does not match. It is asked last, and not
	// concurrently. What it was asked of bounds a query's work.
	Content func(e *event.Event) bool
	// Before and After are cursors: only events accepted before, and after, these
	// sequence numbers; 0 for none.
	Before, After uint64
	// OldestFirst turns the order round.
	OldestFirst bool
	// Limit is the most rows wanted; 0 means 50, at most 1000.
	Limit int
}

// Delivery tells whether the filter's source, destination and state are those of
// a delivery to d.
func (f Filter) Delivery(d event.Destination, s event.State) bool {
	return (f.Source == "" || f.Source == d.Source) && (f.Destination == "" || f.Destination == d.Name) &&
		(f.State == 0 || f.State == s)
}

// Within tells whether a sequence number lies between the cursors.
func (f Filter) Within(seq uint64) bool {
	return (f.Before == 0 || seq < f.Before) && (f.After == 0 || seq > f.After)
}

// Row is one event without its content.
type Row struct {
	ID         event.ID
	Seq        uint64
	Source     string
	Provider   string
	ProviderID string
	Type       string
	Received   time.Time
	// Size is the body's, in bytes.
	Size int
	// Gone tells that the body was removed by retention.
	Gone       bool
	Deliveries []event.Delivery
}

// Page is one answer to a query.
type Page struct {
	Rows []Row
	// Next is the cursor of the following page, for Before, or with OldestFirst for
	// After; 0 if this is the last one.
	Next uint64
	// Complete tells whether everything was searched that the filter names; if
	// not, Next leads on even when Rows is empty.
	Complete bool
	// Reached is the time of receipt up to which it was searched.
	Reached time.Time
}

// Record is one event whole.
type Record struct {
	Row
	// Event is nil when the body is gone, or Damaged.
	Event    *event.Event
	Attempts []event.Attempt
	// Damaged tells that the content is not what was written: the disk has failed.
	// Attempts that are damaged are left out.
	Damaged bool
}

// Stats tells where everything stands.
type Stats struct {
	Destinations []DestinationStats
	// BacklogBytes counts each body once while a delivery of it is pending or dead.
	BacklogBytes int64
	// SourceBytes is each source's part of it.
	SourceBytes map[string]int64
	// SizeBytes is what the store takes on disk, by part.
	SizeBytes map[string]int64
	// FreeBytes is what is free on its file system; -1 if it has none.
	FreeBytes int64
	// Stuck names parts of the store that have been hanging for long.
	Stuck []string
	// Accepting is nil, or the error with which Accept would answer now.
	Accepting error
}

// DestinationStats is one destination's share of [Stats].
type DestinationStats struct {
	event.Destination
	// Count holds the number of deliveries in each state.
	Count map[event.State]int64
	// InFlight is how many of the pending ones are leased, and Retrying how many of
	// them have failed before.
	InFlight, Retrying int64
	// OldestPending is when the oldest pending event was received; zero if none.
	OldestPending time.Time
	Paused        bool
}
