//! One file, whole from one host.

mod any;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{
    At, Came, HostId, Item, ItemEnd, ItemId, Locate, Located, Shared, is_there, part_of, put_in_place,
};
use crate::http::{Agent, Answer, Ask, Failure, Judged, Question, Url};
use crate::portage::Digests;
use crate::transfer::engine;
use crate::transfer::hashing;
use crate::transfer::sink::{Hold, Sink, SinkError};

/// What is read at once, in bytes.
const BUFFER: usize = 64 * 1024;

/// Fetches a file and tells the queue what came of it. The connection is kept for the next one.
pub(super) fn fetch(shared: &Shared, item: ItemId, host: HostId, agent: Agent) {
    let batch = shared.batch;
    let mut lane = Lane { shared, item, host, wanted: &batch.items[item.0], agent };
    let came = if lane.wanted.others.is_empty() { lane.serve() } else { lane.serve_any() };
    let came = came.unwrap_or_else(|miss| miss);
    batch.client.keep(&batch.hosts[host.0].name, lane.agent);
    shared.end(item, |state, now| {
        if came == Came::Wrong {
            state.tallies[host.0].corrupt = true;
            let (file, name) = (&batch.items[item.0].name, &batch.hosts[host.0].name);
            state.note(format!("{file}: {name} sent wrong bytes: they are fetched again elsewhere"));
        }
        let was_out = state.queue.health(host).is_out();
        let blamed = state.queue.on_fetch_ended(item, came, now);
        let goes_out = !was_out && state.queue.health(host).is_out();
        if let Some(failure) = blamed.as_ref().filter(|failure| goes_out && !failure.is_of_proxy()) {
            state.note(failure.skipped(&batch.hosts[host.0].name));
        }
        state.tallies[host.0].failures.extend(blamed);
    });
}

struct Lane<'a> {
    shared: &'a Shared<'a>,
    item: ItemId,
    host: HostId,
    wanted: &'a Item,
    agent: Agent,
}

impl Lane<'_> {
    /// What came of it, as an error when it was not the file.
    fn serve(&mut self) -> Result<Came, Came> {
        let (batch, wanted) = (self.shared.batch, self.wanted);
        let place = batch.folder.join(wanted.name.as_str());
        let lock = (batch.lock)(&wanted.name).map_err(|error| Came::Ended(ItemEnd::Disk(error)))?;
        let Some(_lock) = lock else { return Ok(Came::Ended(ItemEnd::Locked)) };
        if is_there(&place, wanted.size) {
            return Ok(Came::Ended(ItemEnd::Present));
        }
        let (mut url, mut guessed_by) = self.whereabouts()?;
        let part = part_of(&place);
        let identity = engine::identity(&wanted.digests);
        let Some(hold) = self.hold(&part) else { return Ok(Came::Ended(ItemEnd::Locked)) };
        let mut sink = Sink::open(hold, true, &identity, Some(wanted.size))?;
        loop {
            if sink.prefix() > wanted.size {
                sink.clear()?;
            }
            let resumed = sink.prefix();
            self.shared.lock().queue.on_begun(self.item, resumed);
            if resumed < wanted.size
                && let Err(came) = self.receive(&url, &mut sink)
            {
                url = self.look_elsewhere(came, &url, guessed_by.take())?;
                self.receive(&url, &mut sink)?;
            }
            if self.is_right(&sink, wanted.size, &wanted.digests)? {
                let finished = sink.finish()?; // what a race has left ahead is not needed any longer
                finished.check()?;
                put_in_place(&finished.file, &part, &place)?;
                return Ok(Came::Whole);
            }
            if let Some(name) = self.hand_over(&url, &sink)? {
                return Err(Failure::OtherFile(name).into());
            }
            sink.clear()?;
            if resumed == 0 {
                let _ = fs::remove_file(&part);
                return Err(Came::Wrong);
            }
            // Nobody knows who wrote the first part: once more, all of it.
        }
    }

    /// Where the host has the file; with its layout, when that has not been asked for and the usual one is assumed.
    fn whereabouts(&self) -> Result<(Url, Option<Arc<dyn Locate>>), Failure> {
        let none = Failure::Status { code: 404, retry_after: None };
        match &self.wanted.place(self.host).ok_or(none)?.at {
            At::Url(url) => Ok((url.clone(), None)),
            At::Layout(layout) => Ok(match layout.known(&self.wanted.name, &self.wanted.digests)? {
                Located::There(url) => (url, None),
                Located::Perhaps(url) => (url, Some(layout.clone())),
            }),
        }
    }

    /// Where else the host may have the file, when it is not where it was guessed to be.
    fn look_elsewhere(
        &mut self,
        came: Came,
        url: &Url,
        guessed_by: Option<Arc<dyn Locate>>,
    ) -> Result<Url, Came> {
        let is_not_there = matches!(&came, Came::Failed(failure) if failure.is_not_found());
        let Some(layout) = guessed_by.filter(|_| is_not_there) else { return Err(came) };
        let found = layout.find(&self.wanted.name, &self.wanted.digests, &mut self.agent)?;
        if found == *url { Err(came) } else { Ok(found) }
    }

    /// Brings the rest of a file.
    fn receive(&mut self, url: &Url, sink: &mut Sink) -> Result<(), Came> {
        let size = self.wanted.size;
        let question =
            Question { first: sink.prefix(), size: Some(size), refuse_html: true, ..Question::default() };
        let (judged, mut answer) = self.open(url, &question)?;
        self.read(&mut answer, judged.first_pos, sink, size)?;
        if sink.prefix() < size {
            return Err(Failure::Truncated.into());
        }
        answer.content.drain();
        Ok(())
    }

    fn open(&mut self, url: &Url, question: &Question) -> Result<(Judged, Answer), Failure> {
        let (shared, host) = (self.shared, self.host.0);
        let asked = shared.batch.clock.now();
        shared.lock().tallies[host].requests += 1;
        let (judged, answer) = self.agent.open(url, question, &Ask::bytes(question))?;
        let mut state = shared.lock();
        if answer.connect_time.is_some() {
            let waited = shared.batch.clock.now().saturating_sub(asked);
            state.tallies[host].first_byte.get_or_insert(waited);
            state.queue.on_first_byte(self.host, waited);
        }
        Ok((judged, answer))
    }

    /// Reads content that begins at `first` until the file has `size` bytes, or the content ends.
    fn read(&mut self, answer: &mut Answer, first: u64, sink: &mut Sink, size: u64) -> Result<(), Came> {
        let (shared, host, clock) = (self.shared, self.host.0, self.shared.batch.clock);
        let opened = clock.now();
        let mut over = sink.prefix() - first;
        let limiter = &shared.batch.limits.limiter;
        let mut buffer = vec![0; BUFFER];
        while sink.prefix() < size {
            let n = answer.content.read(&mut buffer[..limiter.step(BUFFER)])?;
            if n == 0 {
                break;
            }
            limiter.spend(n);
            let skip = usize::try_from(over).map_or(n, |over| over.min(n));
            over -= skip as u64;
            let room = usize::try_from(size - sink.prefix()).unwrap_or(usize::MAX);
            let bytes = &buffer[skip..n.min(skip.saturating_add(room))];
            sink.write(sink.prefix(), bytes)?;
            let mut state = shared.lock();
            let tally = &mut state.tallies[host];
            tally.kept += bytes.len() as u64;
            tally.wasted += (n - bytes.len()) as u64;
            state.queue.on_received(self.item, bytes.len() as u64, clock.now());
        }
        shared.lock().tallies[host].receiving += clock.now().saturating_sub(opened);
        Ok(())
    }

    /// Upstream may publish each new version under the same URL, so content that is wrong for this file may
    /// be another wanted one. If so, it is given that file's name, which is returned.
    fn hand_over(&self, url: &Url, sink: &Sink) -> Result<Option<String>, Came> {
        let batch = self.shared.batch;
        let is_from_there = |item: &Item| item.places.iter().any(|place| place.url() == Some(url));
        for (index, other) in batch.items.iter().enumerate() {
            let place = batch.folder.join(&other.name);
            if index == self.item.0 || !is_from_there(other) || other.size != sink.prefix() {
                continue;
            }
            // What somebody else is at is left to him.
            let Ok(Some(_lock)) = (batch.lock)(&other.name) else { continue };
            if !is_there(&place, other.size) && self.is_right(sink, other.size, &other.digests)? {
                put_in_place(&sink.file(), sink.path(), &place)?;
                self.shared.lock().handed_over.insert(ItemId(index), self.host);
                return Ok(Some(other.name.to_string()));
            }
        }
        Ok(None)
    }

    /// None when another process is at the file.
    fn hold(&self, part: &Path) -> Option<Hold> {
        let hold = Hold::try_take(part).ok()?;
        self.shared.lock().say_once(hold.note());
        Some(hold)
    }

    /// Whether a file that is complete has the digests wanted, as an error when it is not known.
    fn is_right(&self, sink: &Sink, size: u64, wanted: &Digests) -> Result<bool, Came> {
        let is_over = || (self.shared.signalled)().is_some();
        is_right(sink, size, wanted, &is_over)?.ok_or(Came::Ended(ItemEnd::Left))
    }
}

/// Whether a complete file is the one that is wanted; none when `is_over` ends it early. An error to read it back is
/// nobody's fault.
fn is_right(
    sink: &Sink,
    size: u64,
    wanted: &Digests,
    is_over: &dyn Fn() -> bool,
) -> Result<Option<bool>, SinkError> {
    hashing::is_right(&sink.file(), size, wanted, is_over)
        .map_err(|error| SinkError::new(sink.path(), &error))
}

impl From<Failure> for Came {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<SinkError> for Came {
    fn from(error: SinkError) -> Self {
        Self::Ended(ItemEnd::Disk(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portage::{DistEntry, Distfile, manifest};

    #[test]
    fn what_cannot_be_read_back_convicts_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("a.__download__");
        let text = format!("DIST a 100 SHA256 {}", "ab".repeat(32));
        let DistEntry { size, digests, .. } =
            manifest::find(&text, &Distfile::new("a").unwrap()).unwrap().unwrap();
        let hold = Hold::try_take(&part).unwrap();
        let mut sink = Sink::open(hold, true, "", Some(size)).unwrap();
        sink.write(0, &[7; 100]).unwrap();
        let is_right = |sink: &Sink| is_right(sink, size, &digests, &|| false);
        assert_eq!(is_right(&sink).unwrap(), Some(false), "wrong bytes are the host's fault");
        fs::File::options().write(true).open(&part).unwrap().set_len(50).unwrap();
        assert!(is_right(&sink).is_err(), "somebody here has cut it");
    }
}
