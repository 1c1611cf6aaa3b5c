//! Writes a tree in its flattened form.

use super::format::{
    BEGIN_NODE, COMPATIBLE_VERSION, END, END_NODE, HEADER, MAGIC, PROPERTY, VERSION,
};
use super::{DeviceTree, Node};
use std::collections::HashMap;

impl DeviceTree {
    /// The flattened form: the same tree gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut reserved = Vec::new();
        for (address, length) in self.reservations.iter().chain([&(0, 0)]) {
            reserved.extend(address.to_be_bytes());
            reserved.extend(length.to_be_bytes());
        }
        let mut writer = Writer::default();
        writer.node(&self.root);
        writer.number(END);
        let structure_offset = HEADER + reserved.len();
        let strings_offset = structure_offset + writer.structure.len();
        let total = strings_offset + writer.strings.len();
        let header = [
            MAGIC,
            total as u32,
            structure_offset as u32,
            strings_offset as u32,
            HEADER as u32,
            VERSION,
            COMPATIBLE_VERSION,
            self.boot_processor,
            writer.strings.len() as u32,
            writer.structure.len() as u32,
        ];
        let mut bytes = Vec::with_capacity(total);
        bytes.extend(header.into_iter().flat_map(u32::to_be_bytes));
        bytes.extend(reserved);
        bytes.extend(writer.structure);
        bytes.extend(writer.strings);
        bytes
    }
}

#[derive(Default)]
struct Writer {
    structure: Vec<u8>,
    strings: Vec<u8>,
    /// Where each name of a property is in `strings`.
    names: HashMap<String, u32>,
}

impl Writer {
    fn number(&mut self, number: u32) {
        self.structure.extend(number.to_be_bytes());
    }

    fn pad(&mut self) {
        let length = self.structure.len().next_multiple_of(4);
        self.structure.resize(length, 0);
    }

    fn node(&mut self, node: &Node) {
        self.number(BEGIN_NODE);
        self.structure.extend(node.name.as_bytes());
        self.structure.push(0);
        self.pad();
        for (name, value) in &node.properties {
            self.number(PROPERTY);
            self.number(value.len() as u32);
            let place = self.name(name);
            self.number(place);
            self.structure.extend(value);
            self.pad();
        }
        for child in &node.children {
            self.node(child);
        }
        self.number(END_NODE);
    }

    fn name(&mut self, name: &str) -> u32 {
        if let Some(place) = self.names.get(name) {
            return *place;
        }
        let place = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        self.names.insert(name.to_owned(), place);
        place
    }
}
