//! Gentoo's lists of mirrors, `distfiles.xml` and `rsync.xml`
//! (`mirrors > mirrorgroup[region, country, countryname] > mirror > name, uri[protocol, ipv4, ipv6, partial]`), and
//! which of the mirrors a user wants to see.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::http::settings::AddressFamily;
use crate::portage::uri::HttpUri;

/// More mirrors than any list has; the rest of a longer one is left out.
const MOST: usize = 5000;
/// An operator with mirrors in so many countries runs a network of them, with one set of files.
const COUNTRIES_OF_A_NETWORK: usize = 3;

/// A mirror as a list describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The operator, and often the places: `OVHcloud (Anycast: Gravelines, Paris)`.
    pub name: String,
    /// `Europe`.
    pub region: String,
    /// Two letters: those of ISO 3166, but `UK` for the United Kingdom.
    pub country: String,
    /// `Germany`.
    pub country_name: String,
    pub addresses: Vec<Address>,
}

/// One way to reach a mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Without blanks around it, and without slashes at its end.
    pub url: String,
    pub ipv4: bool,
    pub ipv6: bool,
    /// Not all distfiles are there.
    pub partial: bool,
}

/// Why a text is not a list of mirrors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("it is not well-formed XML, at byte {at}: {why}")]
    Xml { at: u64, why: String },
    #[error("it is XML, but no list of mirrors: it has no <mirrors> with a <uri> in it")]
    NoList,
}

/// What a user wants of the list. Empty lists want everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Names of regions, in any case.
    pub regions: Vec<String>,
    /// Names or two letters of countries, in any case.
    pub countries: Vec<String>,
    /// Hosts (with or without a port), or the beginnings of addresses.
    pub excluded: Vec<String>,
    /// Addresses of these schemes, the one that is liked best first.
    pub schemes: Vec<&'static str>,
    pub family: AddressFamily,
}

/// A mirror to try: one address of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    pub address: String,
    /// The other addresses under which the mirror is known: figures may be kept under one of them.
    pub also: Vec<String>,
    pub name: String,
    /// The operator, in lower case: what stands before the places in the name.
    pub operator: String,
    /// Where the list has it: two letters each.
    pub countries: BTreeSet<String>,
    /// It is one of a network of servers that are filled from one place, or may be.
    pub is_network: bool,
    /// As the list has it; none for mirrors that no list has.
    pub ipv6: Option<bool>,
    /// `GENTOO_MIRRORS` has it.
    pub in_use: bool,
}

/// Reads a list.
pub fn read(text: &str) -> Result<Vec<Listed>, ListError> {
    let mut reader = Reader::from_str(text);
    let mut reading = Reading::default();
    loop {
        let event = reader.read_event();
        let wrong = |why: String| ListError::Xml { at: reader.buffer_position(), why };
        match event.map_err(|error| wrong(error.to_string()))? {
            Event::Eof if reading.depth > 0 => return Err(wrong("it ends in the middle".to_owned())),
            Event::Eof => break,
            Event::Start(element) => {
                reading.depth += 1;
                reading.begin(&element);
            }
            Event::Empty(element) => {
                reading.begin(&element);
                reading.end(element.name().as_ref());
            }
            Event::End(element) => {
                reading.depth = reading.depth.saturating_sub(1);
                reading.end(element.name().as_ref());
            }
            Event::Text(part) => reading.text.push_str(&part),
            Event::CData(part) => reading.text.push_str(&part),
            Event::GeneralRef(name) => reading.text.push_str(&entity(&name)),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    let is_list = reading.is_list && reading.mirrors.iter().any(|mirror| !mirror.addresses.is_empty());
    if is_list { Ok(reading.mirrors) } else { Err(ListError::NoList) }
}

/// What has been read of a list so far.
#[derive(Default)]
struct Reading {
    depth: usize,
    is_list: bool,
    group: Listed,
    mirror: Listed,
    address: Address,
    text: String,
    mirrors: Vec<Listed>,
}

impl Reading {
    fn begin(&mut self, element: &BytesStart<'_>) {
        self.text.clear();
        match element.name().as_ref() {
            "mirrors" => self.is_list = true,
            "mirrorgroup" => {
                self.group = Listed {
                    region: attribute(element, "region"),
                    country: attribute(element, "country"),
                    country_name: attribute(element, "countryname"),
                    ..Listed::default()
                };
            }
            "mirror" => self.mirror = self.group.clone(),
            "uri" => {
                self.address = Address {
                    url: String::new(),
                    ipv4: attribute(element, "ipv4") != "n",
                    ipv6: attribute(element, "ipv6") == "y",
                    partial: attribute(element, "partial") == "y",
                };
            }
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        let text = self.text.trim();
        match name {
            "name" => self.mirror.name = text.split_whitespace().collect::<Vec<_>>().join(" "),
            "uri" => {
                let url = text.trim_end_matches('/').to_owned();
                if !url.is_empty() && !url.contains(|c: char| c.is_whitespace() || c.is_control()) {
                    self.mirror.addresses.push(Address { url, ..std::mem::take(&mut self.address) });
                }
            }
            "mirror" if self.mirrors.len() < MOST => self.mirrors.push(std::mem::take(&mut self.mirror)),
            "mirrorgroup" => self.group = Listed::default(),
            _ => {}
        }
        self.text.clear();
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> String {
    let found = element.try_get_attribute(name).ok().flatten();
    let value = found
        .and_then(|attribute| attribute.normalized_value(XmlVersion::Implicit1_0).ok().map(Cow::into_owned));
    value.unwrap_or_default().trim().to_owned()
}

/// The character that a reference stands for; XML knows five by name.
fn entity(name: &quick_xml::events::BytesRef<'_>) -> String {
    if let Ok(Some(character)) = name.resolve_char_ref() {
        return character.to_string();
    }
    match name.as_ref() {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => "",
    }
    .to_owned()
}

impl Listed {
    /// Who runs it, in lower case, without the places that stand behind: `OVHcloud (Anycast: Milan)` and
    /// `OVHcloud (Anycast: Sydney)` are one.
    pub fn operator(&self) -> String {
        let name = self.name.split(['(', ';']).next().unwrap_or_default();
        // In rsync.xml the host stands behind the name.
        name.split(" - ").next().unwrap_or_default().trim().to_lowercase()
    }

    /// An alias of many mirrors in turn, which says nothing of any of them.
    pub fn is_rotation(&self) -> bool {
        self.name.to_lowercase().starts_with("any available mirror")
    }

    /// The region without what rsync.xml has behind it in brackets.
    fn region(&self) -> &str {
        self.region.split(" (").next().unwrap_or_default()
    }

    fn says_network(&self) -> bool {
        let name = self.name.to_lowercase();
        name.contains("anycast") || name.split(|c: char| !c.is_alphanumeric()).any(|word| word == "cdn")
    }
}

impl Filter {
    /// The best address of a mirror that a user may want, if it has one.
    fn choose<'l>(&self, mirror: &'l Listed) -> Option<&'l Address> {
        let whole = mirror.addresses.iter().filter(|address| !address.partial);
        let wanted: Vec<&Address> = whole.filter(|address| self.takes_address(address)).collect();
        self.schemes.iter().find_map(|scheme| wanted.iter().find(|a| scheme_of(&a.url) == *scheme).copied())
    }

    fn takes_address(&self, address: &Address) -> bool {
        let family = match self.family {
            AddressFamily::Any => true,
            AddressFamily::Ipv4 => address.ipv4,
            AddressFamily::Ipv6 => address.ipv6,
        };
        family && !self.excludes(&address.url)
    }

    /// Whether a user does not want an address.
    pub fn excludes(&self, url: &str) -> bool {
        let host = authority(url);
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
        self.excluded.iter().any(|word| {
            let word = word.trim_end_matches('/').to_lowercase();
            word == host || word == name || url.to_lowercase() == word
        })
    }

    /// Whether a scheme may be used.
    pub fn takes_scheme(&self, url: &str) -> bool {
        self.schemes.contains(&scheme_of(url))
    }

    /// Whether mirrors are wanted wherever they are.
    pub fn is_worldwide(&self) -> bool {
        self.regions.is_empty() && self.countries.is_empty()
    }

    fn takes_place(&self, mirror: &Listed) -> bool {
        let region = |wanted: &String| {
            [mirror.region.as_str(), mirror.region()].iter().any(|region| region.eq_ignore_ascii_case(wanted))
        };
        let country = |wanted: &String| {
            let code = if wanted.eq_ignore_ascii_case("GB") { "UK" } else { wanted };
            // `United States (USA)`, `USA`
            let short = mirror.country_name.split(" (").next().unwrap_or_default();
            [mirror.country.as_str(), &mirror.country_name, short]
                .iter()
                .any(|name| name.eq_ignore_ascii_case(code))
        };
        (self.regions.is_empty() || self.regions.iter().any(region))
            && (self.countries.is_empty() || self.countries.iter().any(country))
    }
}

/// The mirrors of a list that a user wants, each host once. The order is that of the list.
pub fn sites(list: &[Listed], filter: &Filter) -> Vec<Site> {
    let networks = networks(list);
    let mut sites: Vec<Site> = Vec::new();
    let mut by_host: BTreeMap<String, usize> = BTreeMap::new();
    for mirror in list.iter().filter(|mirror| filter.takes_place(mirror) && !mirror.is_rotation()) {
        let Some(address) = filter.choose(mirror) else { continue };
        let also =
            mirror.addresses.iter().map(|address| address.url.clone()).filter(|url| *url != address.url);
        let known = *by_host.entry(authority(&address.url)).or_insert(sites.len());
        if let Some(site) = sites.get_mut(known) {
            site.countries.insert(mirror.country.clone());
            site.also.extend(also);
            continue;
        }
        let operator = mirror.operator();
        sites.push(Site {
            address: address.url.clone(),
            also: also.collect(),
            name: mirror.name.clone(),
            is_network: networks.contains(&operator),
            operator,
            countries: BTreeSet::from([mirror.country.clone()]),
            ipv6: Some(mirror.addresses.iter().any(|address| address.ipv6)),
            in_use: false,
        });
    }
    sites
}

/// The operators of networks.
fn networks(list: &[Listed]) -> BTreeSet<String> {
    let mut countries: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for mirror in list {
        countries.entry(mirror.operator()).or_default().insert(&mirror.country);
    }
    let says = list.iter().filter(|mirror| mirror.says_network()).map(Listed::operator);
    let wide = countries.into_iter().filter(|(_, countries)| countries.len() >= COUNTRIES_OF_A_NETWORK);
    says.chain(wide.map(|(operator, _)| operator)).collect()
}

/// The places that no mirror of the list has, as a user named them.
pub fn unknown_places<'f>(list: &[Listed], filter: &'f Filter) -> Vec<&'f str> {
    let has = |one: Filter| list.iter().any(|mirror| one.takes_place(mirror));
    let region = |word: &&String| !has(Filter { regions: vec![(*word).clone()], ..Filter::default() });
    let country = |word: &&String| !has(Filter { countries: vec![(*word).clone()], ..Filter::default() });
    let regions = filter.regions.iter().filter(region);
    regions.chain(filter.countries.iter().filter(country)).map(String::as_str).collect()
}

/// Host, and port where it is not the scheme's own, in lower case.
pub fn authority(url: &str) -> String {
    if let Ok(uri) = HttpUri::parse(url) {
        let own = uri.port == uri.scheme.default_port();
        return if own { uri.host } else { format!("{}:{}", uri.host, uri.port) };
    }
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default().to_lowercase()
}

fn scheme_of(url: &str) -> &'static str {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    ["https", "http", "rsync", "ftp"]
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<!-- vim: ft=xml -->
<mirrors>
  <mirrorgroup region="North America" country="US" countryname="United States (USA)">
    <mirror>
      <name>LeaseWeb (Anycast: San Francisco; Miami)</name>
      <uri protocol="https" ipv4="y" ipv6="y" partial="n">https://mirror.leaseweb.example/gentoo/</uri>
    </mirror>
    <!--<mirror>
      <name>Gone</name>
      <uri protocol="https" ipv4="y" ipv6="y" partial="n">https://gone.example/</uri>
    </mirror>-->
    <mirror>
      <name>Tera &amp; Byte</name>
      <uri protocol="ftp" ipv4="y" ipv6="n" partial="n">ftp://tera.example/pub/gentoo</uri>
      <uri protocol="http" ipv4="y" ipv6="n" partial="n">
        http://tera.example/gentoo//
      </uri>
      <uri protocol="rsync" ipv4="y" ipv6="n" partial="n">rsync://tera.example/gentoo</uri>
    </mirror>
  </mirrorgroup>
  <!-- <mirrorgroup region="Asia" country="XX" countryname="Nowhere"><mirror><name>x</name></mirror></mirrorgroup> -->
  <mirrorgroup region="Europe" country="UK" countryname="United Kingdom">
    <mirror>
      <name>Kent</name>
      <uri protocol="http" ipv4="y" ipv6="n" partial="n">http://kent.example</uri>
      <uri protocol="https" ipv4="y" ipv6="y" partial="n">https://kent.example</uri>
    </mirror>
    <mirror>
      <name>Half</name>
      <uri protocol="https" ipv4="y" ipv6="n" partial="y">https://half.example</uri>
      <uri protocol="http" ipv4="y" ipv6="n" partial="n">http://half.example</uri>
    </mirror>
    <mirror>
      <name>LeaseWeb (Anycast: London)</name>
      <uri protocol="https" ipv4="y" ipv6="y" partial="n">https://mirror.leaseweb.example/gentoo/</uri>
    </mirror>
  </mirrorgroup>
</mirrors>
"#;

    fn filter() -> Filter {
        Filter { schemes: vec!["https", "http"], ..Filter::default() }
    }

    fn addresses(filter: &Filter) -> Vec<String> {
        sites(&read(LIST).unwrap(), filter).into_iter().map(|site| site.address).collect()
    }

    #[test]
    fn one_address_of_each_host_https_first() {
        let sites = sites(&read(LIST).unwrap(), &filter());
        let shown = |site: &Site| (site.address.clone(), site.operator.clone(), site.is_network, site.ipv6);
        assert_eq!(
            sites.iter().map(shown).collect::<Vec<_>>(),
            [
                ("https://mirror.leaseweb.example/gentoo", "leaseweb", true, Some(true)),
                ("http://tera.example/gentoo", "tera & byte", false, Some(false)),
                ("https://kent.example", "kent", false, Some(true)),
                ("http://half.example", "half", false, Some(false)),
            ]
            .map(|(address, operator, network, ipv6)| (
                address.to_owned(),
                operator.to_owned(),
                network,
                ipv6
            ))
        );
        assert_eq!(sites[0].countries, BTreeSet::from(["UK".to_owned(), "US".to_owned()]));
        assert_eq!(sites[2].also, ["http://kent.example"]);
    }

    #[test]
    fn what_a_user_wants() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let by_country = |name| addresses(&Filter { countries: words(&[name]), ..filter() });
        assert_eq!(by_country("gb").len(), 3);
        assert_eq!(by_country("united kingdom").len(), 3);
        assert_eq!(by_country("United States").len(), 2);
        assert_eq!(by_country("Nowhere"), [""; 0], "it is in a comment");
        assert_eq!(addresses(&Filter { regions: words(&["europe", "ASIA"]), ..filter() }).len(), 3);
        assert_eq!(addresses(&Filter { schemes: vec!["http"], ..filter() }).len(), 3);
        assert_eq!(addresses(&Filter { family: AddressFamily::Ipv6, ..filter() }).len(), 2);
        let excluded = words(&["KENT.example", "http://tera.example/gentoo/"]);
        assert_eq!(addresses(&Filter { excluded, ..filter() }).len(), 2);
        let unknown = Filter { regions: words(&["Europe", "Mars"]), countries: words(&["DE"]), ..filter() };
        assert_eq!(unknown_places(&read(LIST).unwrap(), &unknown), ["Mars", "DE"]);
    }

    #[test]
    fn the_list_of_rsync_mirrors() {
        let text = r#"<mirrors><mirrorgroup region="Europe (rsync.europe.example)" country="DE" countryname="Germany">
            <mirror><name>Any available mirror - rsync.de.example</name>
              <uri protocol="rsync" ipv4="y" ipv6="y" partial="n">rsync://rsync.de.example</uri></mirror>
            <mirror><name>Uni - rsync1.de.example</name>
              <uri protocol="rsync" ipv4="y" ipv6="y" partial="n">rsync://rsync1.de.example</uri></mirror>
            </mirrorgroup></mirrors>"#;
        let filter =
            Filter { schemes: vec!["rsync"], regions: vec!["europe".to_owned()], ..Filter::default() };
        let sites = sites(&read(text).unwrap(), &filter);
        assert_eq!(sites.len(), 1, "a rotation is no mirror: {sites:?}");
        assert_eq!(
            (sites[0].address.as_str(), sites[0].operator.as_str()),
            ("rsync://rsync1.de.example", "uni")
        );
    }

    #[test]
    fn what_is_no_list_says_so() {
        for text in ["", "hello", "<html><body><p>x</p></body></html>", "<mirrors></mirrors>"] {
            assert_eq!(read(text), Err(ListError::NoList), "{text}");
        }
        for text in ["<mirrors><mirror>", "<mirrors></mirror>", &LIST[..LIST.len() / 2], "<a <b"] {
            assert!(matches!(read(text), Err(ListError::Xml { .. })), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_list_or_an_error(cut in 0..LIST.len(), insert in "\\PC{0,8}", skip in 0_usize..40) {
            let at = (0..=cut).rev().find(|at| LIST.is_char_boundary(*at)).unwrap_or(0);
            let end = (at + skip).min(LIST.len());
            if let Ok(list) = read(&format!("{}{insert}{}", &LIST[..at], &LIST[end..])) {
                for site in sites(&list, &filter()) {
                    proptest::prop_assert!(!site.address.contains(char::is_whitespace));
                }
            }
        }
    }
}
